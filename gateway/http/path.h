// CanonicalPath gives the one path that both decides the route and is sent to the upstream, so that the two cannot
// disagree. It is idempotent: the canonical form of a canonical path is itself.
//
//   refused    not starting with '/', NUL or other controls, space, DEL, raw bytes over 0x7F, '\', '#', '?';
//              a '%' without two hex digits; %00 and other encoded controls, %2F, %5C;
//              ".." above the root; a dot segment with path parameters ("..;x", encoded too)
//   decoded    percent-encoded unreserved characters (letters, digits, - . _ ~)
//   encoded    raw " < > [ ] ^ ` { | }
//   upper case hex digits of what stays encoded; never decoded twice ("%2541" stays)
//   merged     "//" -> "/"
//   resolved   "." and ".." segments, after decoding and merging
//
// Errors: kInvalidArgument with a constant text.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gatehouse::http {

absl::StatusOr<std::string> CanonicalPath(absl::string_view raw);
// True when `raw` surely is canonical already; a false negative only costs time.
bool IsPlainPath(absl::string_view raw);
// A query may hold any visible ASCII but '#', and no broken percent-encoding of controls: raw controls, space, DEL and
// bytes over 0x7F are refused. Empty is fine.
bool IsValidQuery(absl::string_view query);

// Authority: host[:port] without userinfo. Refuses empty hosts, percent-encoding and ports over 65535.
struct Authority {
  absl::string_view host;  // IPv6 in brackets; one trailing dot removed
  absl::string_view port;  // digits; may be empty
};
absl::StatusOr<Authority> ParseAuthority(absl::string_view text);

}  // namespace gatehouse::http
