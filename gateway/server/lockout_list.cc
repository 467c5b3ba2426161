#include "gateway/server/lockout_list.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/base/address_range.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::server {
namespace {

using credentials::Throttle;
using credentials::ThrottleEntry;
using credentials::ThrottleKind;

constexpr size_t kMaxListed = 10'000;

absl::StatusOr<Throttle::Filter> FilterOf(const v1::LockoutFilter& asked) {
  Throttle::Filter filter;
  filter.scheme = asked.scheme();
  filter.user = asked.user();
  if (asked.address().empty()) return filter;
  absl::StatusOr<AddressRange> range = ParseAddressRange(asked.address());
  if (!range.ok()) return absl::InvalidArgumentError(absl::StrCat("filter.address: ", range.status().message()));
  const bool one = range->prefix == 8 * range->size;
  if (!one && !(range->size == 16 && range->prefix == 64)) {
    return absl::InvalidArgumentError(
        absl::StrCat("filter.address: \"", EscapeText(asked.address()), "\" is neither an address nor an IPv6 /64"));
  }
  filter.address_key = one ? credentials::AddressKey(asked.address())
                           : std::string(range->address.begin(), range->address.begin() + 8);
  return filter;
}

Throttle::OptionsOf OptionsIn(const config::Snapshot& snapshot) {
  return [&snapshot](const std::string& name) {
    const config::Scheme* scheme = snapshot.FindScheme(name);
    const auto* basic = scheme == nullptr ? nullptr : std::get_if<credentials::BasicSchemeRef>(&scheme->kind);
    return basic == nullptr ? credentials::ThrottleOptions() : (*basic)->throttle;
  };
}

void Put(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

v1::Lockout::Kind KindOf(ThrottleKind kind) {
  switch (kind) {
    case ThrottleKind::kPair: return v1::Lockout::USER_AND_ADDRESS;
    case ThrottleKind::kAddress: return v1::Lockout::ADDRESS;
    case ThrottleKind::kUser: break;
  }
  return v1::Lockout::USER;
}

std::string Described(const v1::LockoutFilter& filter) {
  std::string text;
  const auto add = [&](absl::string_view word, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&text, text.empty() ? "" : ", ", word, " \"", EscapeText(value), "\"");
  };
  add("scheme", filter.scheme());
  add("user", filter.user());
  add("address", filter.address());
  return text.empty() ? "everything" : text;
}

}  // namespace

absl::StatusOr<v1::ListLockoutsResponse> ListLockouts(const config::Snapshot& snapshot,
                                                      const v1::ListLockoutsRequest& request, const LockoutDesk& desk,
                                                      absl::Time now) {
  GH_ASSIGN_OR_RETURN(const Throttle::Filter filter, FilterOf(request.filter()));
  std::vector<ThrottleEntry> entries = desk.throttle().List(filter, OptionsIn(snapshot));
  if (!request.all()) {
    entries.erase(std::remove_if(entries.begin(), entries.end(),
                                 [now](const ThrottleEntry& entry) { return entry.not_before <= now; }),
                  entries.end());
  }
  std::sort(entries.begin(), entries.end(), [](const ThrottleEntry& a, const ThrottleEntry& b) {
    return std::pair(a.not_before, a.last) > std::pair(b.not_before, b.last);
  });
  v1::ListLockoutsResponse response;
  if (entries.size() > kMaxListed) {
    response.set_left_out(entries.size() - kMaxListed);
    entries.resize(kMaxListed);
  }
  for (const ThrottleEntry& entry : entries) {
    v1::Lockout& out = *response.add_lockouts();
    out.set_kind(KindOf(entry.kind));
    out.set_scheme(entry.scheme);
    out.set_user(entry.user);
    if (entry.kind != ThrottleKind::kUser) out.set_address(credentials::AddressText(entry.address_key));
    out.set_failures(entry.failures);
    if (entry.last != absl::InfinitePast()) Put(entry.last, out.mutable_last_failure());
    if (entry.not_before <= now) continue;
    Put(entry.not_before, out.mutable_refused_until());
    out.set_locked_out(entry.locked);
  }
  return response;
}

absl::StatusOr<v1::ClearLockoutsResponse> ClearLockouts(const config::Snapshot& snapshot,
                                                        const v1::ClearLockoutsRequest& request, LockoutDesk& desk) {
  GH_ASSIGN_OR_RETURN(const Throttle::Filter filter, FilterOf(request.filter()));
  v1::ClearLockoutsResponse response;
  response.set_cleared(desk.Clear(filter, OptionsIn(snapshot), Described(request.filter())));
  return response;
}

}  // namespace gatehouse::server
