#include "gateway/config/build_draft.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gateway/base/escape.h"
#include "gateway/base/names.h"
#include "gateway/config/suggest.h"

namespace gatehouse::config {
namespace {

constexpr int kMaxLabels = 64;
constexpr size_t kMaxLabelBytes = 256;

// Checks ids and labels of one kind, and gives the resources in order of their names.
template <typename Message>
void IndexKind(Draft& draft, absl::string_view list_name, v1::Kind kind, const Message& (v1::Resource::*body)() const,
               std::vector<const Message*>* sorted, NameIndex* names) {
  const ResourceMap& all = draft.resources;
  for (auto it = all.lower_bound({kind, ""}); it != all.end() && it->first.first == kind; ++it) {
    const Message& message = (it->second.get()->*body)();
    if (!IsResourceId(message.name())) {
      draft.Violate(PathOf(list_name, message.name()) + ".name",
                    "must be a letter followed by at most 62 letters, digits, '.', '_' or '-'");
    }
    if (message.labels_size() > kMaxLabels) {
      draft.Violate(PathOf(list_name, message.name()) + ".labels", message.labels_size(), " labels, at most ", kMaxLabels);
    }
    for (const auto& [key, value] : message.labels()) {
      if (key.empty() || key.size() > kMaxLabelBytes || value.size() > kMaxLabelBytes) {
        draft.Violate(PathOf(list_name, message.name()) + ".labels", "keys are 1 to ", kMaxLabelBytes,
                      " bytes, values at most as many");
        break;
      }
    }
    if (names != nullptr) names->Add(message.name(), static_cast<uint32_t>(sorted->size()));
    sorted->push_back(&message);
  }
}

}  // namespace

std::string NameIndex::Missing(absl::string_view kind, absl::string_view name) const {
  return absl::StrCat("no ", kind, " named \"", EscapeText(name), "\"", DidYouMean(name, order_));
}

bool Draft::Unchanged(v1::Kind kind, const std::string& name) const {
  if (previous == nullptr) return false;
  auto now = resources.find({kind, name});
  auto then = previous->parts->resources.find({kind, name});
  return now != resources.end() && then != previous->parts->resources.end() &&
         (now->second == then->second || SameResource(*now->second, *then->second));
}

std::string PathOf(absl::string_view list, absl::string_view name) {
  return absl::StrCat(list, "[\"", EscapeText(name), "\"]");
}

absl::Duration ReadDuration(Draft& draft, bool present, const google::protobuf::Duration& value,
                            const std::string& path, const DurationBounds& bounds) {
  if (!present) return bounds.fallback;
  // Protobuf's own bounds: 10,000 years, nanos of the same sign.
  const bool sane = value.seconds() >= 0 && value.seconds() <= 315'576'000'000 && value.nanos() >= 0 &&
                    value.nanos() <= 999'999'999;
  const absl::Duration duration = absl::Seconds(sane ? value.seconds() : 0) + absl::Nanoseconds(value.nanos());
  if (sane && bounds.zero_is_default && duration == absl::ZeroDuration()) return bounds.fallback;
  if (sane && duration >= bounds.least && duration <= bounds.most) return duration;
  draft.Violate(path, sane ? absl::FormatDuration(duration) : "the duration",
                " is out of range: ", absl::FormatDuration(bounds.least), " to ", absl::FormatDuration(bounds.most));
  return bounds.fallback;
}

uint64_t ReadNumber(Draft& draft, uint64_t value, const std::string& path, uint64_t fallback, uint64_t least,
                    uint64_t most) {
  if (value == 0) return fallback;
  if (value >= least && value <= most) return value;
  draft.Violate(path, value, " is out of range: ", least, " to ", most);
  return fallback;
}

absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text, bool port_zero) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(text), "\" ", why));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return bad("has no port; write ip:port or [v6]:port");
  std::string host(text.substr(0, colon));
  const absl::string_view digits = text.substr(colon + 1);
  uint32_t port = 0;
  if (digits.empty() || digits.size() > 5 ||
      !std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return absl::ascii_isdigit(c); }) ||
      !absl::SimpleAtoi(digits, &port) || port > 65535 || (port == 0 && !port_zero)) {
    return bad("has no port of 1 to 65535");
  }
  Endpoint endpoint;
  endpoint.port = static_cast<uint16_t>(port);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  char octets[16];
  if (!bracketed && inet_pton(AF_INET, host.c_str(), octets) == 1) {
    endpoint.ip.assign(octets, 4);
  } else if (bracketed && inet_pton(AF_INET6, host.c_str(), octets) == 1) {
    endpoint.ip.assign(octets, 16);
  } else if (!bracketed && inet_pton(AF_INET6, host.c_str(), octets) == 1) {
    return bad("needs brackets around its IPv6 address");
  } else {
    return bad("is not an IP address with a port");
  }
  return endpoint;
}

bool IsHostName(absl::string_view name) {
  constexpr size_t kMaxHostName = 253;
  if (name.empty() || name.size() > kMaxHostName) return false;
  for (absl::string_view label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; })) {
      return false;
    }
  }
  // A number at the end is an address that is not one (WHATWG URL).
  const absl::string_view last = name.substr(name.rfind('.') + 1);
  return !std::all_of(last.begin(), last.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
}

bool IsHostAndPort(absl::string_view text) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  return colon != absl::string_view::npos && IsHostName(text.substr(0, colon)) && text.size() - colon <= 6 &&
         std::all_of(text.begin() + static_cast<ptrdiff_t>(colon) + 1, text.end(),
                     [](unsigned char c) { return absl::ascii_isdigit(c); }) &&
         absl::SimpleAtoi(text.substr(colon + 1), &port) && port != 0 && port <= 65535;
}

void IndexSet(Draft& draft) {
  draft.parts->resources = draft.resources;
  IndexKind(draft, "listeners", v1::LISTENER, &v1::Resource::listener, &draft.listeners, &draft.listener_names);
  IndexKind(draft, "serverCertificates", v1::SERVER_CERTIFICATE, &v1::Resource::server_certificate,
            &draft.server_certificates, &draft.server_certificate_names);
  IndexKind(draft, "trustStores", v1::TRUST_STORE, &v1::Resource::trust_store, &draft.trust_stores,
            &draft.trust_store_names);
  IndexKind(draft, "schemes", v1::SCHEME, &v1::Resource::scheme, &draft.schemes, &draft.scheme_names);
  IndexKind(draft, "userStores", v1::USER_STORE, &v1::Resource::user_store, &draft.user_stores, &draft.user_store_names);
  IndexKind(draft, "policies", v1::POLICY, &v1::Resource::policy, &draft.policies, &draft.policy_names);
  IndexKind(draft, "upstreams", v1::UPSTREAM, &v1::Resource::upstream, &draft.upstreams, &draft.upstream_names);
}

void IndexRoutes(Draft& draft) {
  IndexKind<v1::Route>(draft, "routes", v1::ROUTE, &v1::Resource::route, &draft.routes, nullptr);
}

}  // namespace gatehouse::config
