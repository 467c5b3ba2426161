#include "gateway/http/request_check.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "gateway/base/octets.h"
#include "gateway/http/path.h"

namespace gatehouse::http {
namespace {

Refusal Bad(const char* text) { return Refusal{400, true, text}; }
Refusal Bad(const absl::Status& status) {
  // Statuses of path.h hold constant texts, but own a copy: map to constants that live on.
  if (absl::StrContains(status.message(), "userinfo")) return Bad("the authority holds userinfo");
  if (absl::StrContains(status.message(), "authority")) return Bad("the authority is malformed");
  if (absl::StrContains(status.message(), "climbs")) return Bad("the path climbs above the root");
  if (absl::StrContains(status.message(), "encoded slash")) return Bad("the path holds an encoded slash or backslash");
  if (absl::StrContains(status.message(), "encoded control")) return Bad("the path holds an encoded control character");
  if (absl::StrContains(status.message(), "parameters")) return Bad("the path holds a dot segment with parameters");
  return Bad("the path is malformed");
}

// Without a default port's ":443", one spelling for one authority.
bool SameAuthority(const Authority& a, const Authority& b) {
  absl::string_view pa = a.port.empty() ? "443" : a.port;
  absl::string_view pb = b.port.empty() ? "443" : b.port;
  return absl::EqualsIgnoreCase(a.host, b.host) && pa == pb;
}

}  // namespace

std::optional<Refusal> CheckRequest(const RawRequest& raw, const Limits& limits, bool tls, RequestHead* head) {
  FieldList& fields = head->fields();
  if (!IsToken(raw.method) || raw.method.size() > 32) return Bad("the method is not a token");
  if (raw.method == "CONNECT" || raw.method == "TRACE" || raw.method == "TRACK") {
    return Refusal{501, true, "the method is not supported"};
  }
  if (raw.target.size() > limits.target_bytes) return Refusal{414, false, "the target is too long"};

  // One authority.
  size_t hosts = fields.Count("host");
  if (hosts > 1) return Bad("more than one Host field");
  if (head->version >= 11 && head->version < 20 && hosts == 0) return Bad("no Host field");
  std::optional<absl::string_view> host_field = fields.Find("host");
  if (!raw.has_authority && !host_field.has_value()) {
    return Bad(head->version == 10 ? "an HTTP/1.0 request without Host" : "neither :authority nor Host");
  }
  absl::string_view authority_text = raw.has_authority ? raw.authority : *host_field;
  std::string lower;
  if (octets::Any(authority_text, [](uint64_t word) { return octets::Lower(word) ^ word; })) {
    lower = absl::AsciiStrToLower(authority_text);
    authority_text = lower;
  }
  absl::StatusOr<Authority> authority = ParseAuthority(authority_text);
  if (!authority.ok()) return Bad(authority.status());
  if (raw.has_authority && host_field.has_value()) {
    absl::StatusOr<Authority> stated = ParseAuthority(*host_field);
    if (!stated.ok()) return Bad(stated.status());
    if (!SameAuthority(*authority, *stated)) return Bad("Host and the target's authority differ");
  }
  absl::string_view scheme = tls ? "https" : "http";
  if (!raw.scheme.empty()) {
    if (raw.scheme == scheme) {
      scheme = raw.scheme;
    } else if (!absl::EqualsIgnoreCase(raw.scheme, scheme)) {
      return Bad("the scheme is not that of the connection");
    }
  }

  // One path.
  absl::string_view path = raw.target;
  absl::string_view query;
  std::string canonical;
  if (raw.target == "*") {
    if (raw.method != "OPTIONS") return Bad("'*' goes with OPTIONS only");
  } else {
    const size_t mark = raw.target.find('?');
    head->has_query = mark != absl::string_view::npos;
    if (head->has_query) query = raw.target.substr(mark + 1);
    path = raw.target.substr(0, mark);
    if (!IsPlainPath(path)) {
      absl::StatusOr<std::string> resolved = CanonicalPath(path);
      if (!resolved.ok()) return Bad(resolved.status());
      canonical = *std::move(resolved);
      path = canonical;
    }
    if (!IsValidQuery(query)) return Bad("the query holds a character that must be percent-encoded");
  }

  // One length.
  size_t lengths = fields.Count("content-length");
  if (lengths > 1) return Bad("more than one Content-Length");
  if (lengths == 1) {
    head->content_length = ParseContentLength(*fields.Find("content-length"));
    if (!head->content_length.has_value()) return Bad("Content-Length is not one plain number");
    if (*head->content_length > limits.body_bytes) return Refusal{413, false, "the body is too large"};
  }
  size_t expects = fields.Count("expect");
  if (expects > 0) {
    if (expects > 1 || !absl::EqualsIgnoreCase(*fields.Find("expect"), "100-continue")) {
      return Refusal{417, true, "an expectation other than 100-continue"};
    }
    head->expect_continue = head->version != 10;
  }

  head->set_parts({raw.method, scheme, authority_text, authority->host, raw.target, path, query});
  fields.Join("cookie", "; ");
  if (hosts == 0) head->AddHost();
  return std::nullopt;
}

}  // namespace gatehouse::http
