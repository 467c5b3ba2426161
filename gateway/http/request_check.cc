#include "gateway/http/request_check.h"

#include "absl/strings/match.h"
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

  // One authority. Copied first: storing fields moves the bytes that views point into.
  size_t hosts = fields.Count("host");
  if (hosts > 1) return Bad("more than one Host field");
  if (head->version >= 11 && head->version < 20 && hosts == 0) return Bad("no Host field");
  std::optional<absl::string_view> host_field = fields.Find("host");
  if (!raw.has_authority && !host_field.has_value()) {
    return Bad(head->version == 10 ? "an HTTP/1.0 request without Host" : "neither :authority nor Host");
  }
  std::string authority_text(raw.has_authority ? raw.authority : *host_field);
  absl::StatusOr<Authority> authority = ParseAuthority(authority_text);
  if (!authority.ok()) return Bad(authority.status());
  if (raw.has_authority && host_field.has_value()) {
    absl::StatusOr<Authority> stated = ParseAuthority(*host_field);
    if (!stated.ok()) return Bad(stated.status());
    if (!SameAuthority(*authority, *stated)) return Bad("Host and the target's authority differ");
  }
  if (!raw.scheme.empty() && !absl::EqualsIgnoreCase(raw.scheme, tls ? "https" : "http")) {
    return Bad("the scheme is not that of the connection");
  }

  // One path.
  std::string target(raw.target);
  std::string path;
  absl::string_view query;
  if (target == "*") {
    if (raw.method != "OPTIONS") return Bad("'*' goes with OPTIONS only");
    path = "*";
  } else {
    size_t mark = target.find('?');
    head->has_query = mark != std::string::npos;
    if (head->has_query) query = absl::string_view(target).substr(mark + 1);
    absl::StatusOr<std::string> canonical = CanonicalPath(absl::string_view(target).substr(0, mark));
    if (!canonical.ok()) return Bad(canonical.status());
    if (!IsValidQuery(query)) return Bad("the query holds a character that must be percent-encoded");
    path = *std::move(canonical);
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

  std::string method(raw.method);
  fields.Join("cookie", "; ");
  head->set_method(method);
  head->set_scheme(tls ? "https" : "http");
  head->set_authority(authority_text);
  head->set_host(authority->host);
  head->set_target(target);
  head->set_path(path);
  head->set_query(query);
  if (hosts == 0) fields.Add("host", authority_text);
  return std::nullopt;
}

}  // namespace gatehouse::http
