#include "gateway/config/build_draft.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gateway/base/escape.h"
#include "gateway/config/suggest.h"

namespace gatehouse::config {
namespace {

constexpr size_t kMaxId = 63;
constexpr int kMaxLabels = 64;
constexpr size_t kMaxLabelBytes = 256;

bool IsId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxId && absl::ascii_isalpha(static_cast<unsigned char>(id[0])) &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

// Checks ids, repeats and labels of one kind, and puts the resources in order of their names.
template <typename List, typename Message>
void IndexList(Draft& draft, absl::string_view list_name, const List& list, std::vector<const Message*>* sorted,
               NameIndex* names) {
  for (int i = 0; i < list.size(); ++i) {
    const Message& message = list[i];
    if (message.name().empty()) {
      draft.Violate(absl::StrCat(list_name, "[", i, "].name"), "is required");
      continue;
    }
    const std::string path = PathOf(list_name, message.name());
    if (!IsId(message.name())) {
      draft.Violate(path + ".name", "must be a letter followed by at most 62 letters, digits, '.', '_' or '-'");
    }
    if (message.labels_size() > kMaxLabels) {
      draft.Violate(path + ".labels", message.labels_size(), " labels, at most ", kMaxLabels);
    }
    for (const auto& [key, value] : message.labels()) {
      if (key.empty() || key.size() > kMaxLabelBytes || value.size() > kMaxLabelBytes) {
        draft.Violate(path + ".labels", "keys are 1 to ", kMaxLabelBytes, " bytes, values at most as many");
        break;
      }
    }
    sorted->push_back(&message);
  }
  std::stable_sort(sorted->begin(), sorted->end(),
                   [](const Message* a, const Message* b) { return a->name() < b->name(); });
  for (size_t i = 1; i < sorted->size();) {
    if ((*sorted)[i]->name() != (*sorted)[i - 1]->name()) {
      ++i;
      continue;
    }
    draft.Violate(PathOf(list_name, (*sorted)[i]->name()), "is there twice; names are unique within a kind");
    sorted->erase(sorted->begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (size_t i = 0; i < sorted->size(); ++i) names->Add((*sorted)[i]->name(), static_cast<uint32_t>(i));
}

}  // namespace

std::string NameIndex::Missing(absl::string_view kind, absl::string_view name) const {
  return absl::StrCat("no ", kind, " named \"", EscapeText(name), "\"", DidYouMean(name, order_));
}

bool Draft::Unchanged(v1::Kind kind, const std::string& name) const {
  if (previous == nullptr) return false;
  auto now = parts->index.resources.find({kind, name});
  auto then = previous->parts->index.resources.find({kind, name});
  return now != parts->index.resources.end() && then != previous->parts->index.resources.end() &&
         now->second == then->second;
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
  draft.parts->index = IndexOf(draft.set);
  const v1::ConfigSet& set = draft.set;
  IndexList(draft, "listeners", set.listeners(), &draft.listeners, &draft.listener_names);
  IndexList(draft, "serverCertificates", set.server_certificates(), &draft.server_certificates,
            &draft.server_certificate_names);
  IndexList(draft, "trustStores", set.trust_stores(), &draft.trust_stores, &draft.trust_store_names);
  IndexList(draft, "schemes", set.schemes(), &draft.schemes, &draft.scheme_names);
  IndexList(draft, "userStores", set.user_stores(), &draft.user_stores, &draft.user_store_names);
  IndexList(draft, "policies", set.policies(), &draft.policies, &draft.policy_names);
  IndexList(draft, "upstreams", set.upstreams(), &draft.upstreams, &draft.upstream_names);
  IndexList(draft, "routes", set.routes(), &draft.routes, &draft.route_names);
}

}  // namespace gatehouse::config
