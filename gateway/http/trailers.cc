#include "gateway/http/trailers.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace gatehouse::http {
namespace {

// In order.
constexpr absl::string_view kNever[] = {
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "cookie2",
    "date",
    "expect",
    "expires",
    "forwarded",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "refresh",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
};
static_assert(std::is_sorted(std::begin(kNever), std::end(kNever)));

// If-Match and its like, what browsers say for themselves and WebSocket's, proxies', and who passed a request on.
constexpr absl::string_view kNeverBegins[] = {"if-", "sec-", "proxy-", "x-forwarded-"};

constexpr size_t kMostAnnounced = 100;  // names that are looked at

}  // namespace

bool MayTrail(absl::string_view name) {
  for (absl::string_view prefix : kNeverBegins) {
    if (absl::StartsWith(name, prefix)) return false;
  }
  return !std::binary_search(std::begin(kNever), std::end(kNever), name);
}

std::string AnnouncedTrailers(const FieldList& fields, absl::FunctionRef<bool(absl::string_view)> passes) {
  std::string names;
  size_t left = kMostAnnounced;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name != "trailer") continue;
    for (absl::string_view part : absl::StrSplit(fields[i].value, ',')) {
      if (left-- == 0) return names;
      const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(part));
      if (IsToken(name) && MayTrail(name) && passes(name)) absl::StrAppend(&names, names.empty() ? "" : ", ", name);
    }
  }
  return names;
}

}  // namespace gatehouse::http
