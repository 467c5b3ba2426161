// CheckRequest is the perimeter that HTTP/1.1 and HTTP/2 have in common: it completes a RequestHead, or says why not.
//
// It demands a known kind of method (token; CONNECT and TRACE are refused), exactly one authority without userinfo that
// every other statement of it equals, https where we speak TLS, a canonical path, a clean query, and one plain
// Content-Length. It joins Cookie fields and drops nothing else.
//
// Errors: a Refusal with the status to answer and a constant text.
#pragma once

#include <optional>

#include "absl/strings/string_view.h"
#include "gateway/http/limits.h"
#include "gateway/http/message.h"

namespace gatehouse::http {

struct Refusal {
  int status = 400;
  bool malformed = true;  // false: over a limit
  const char* text = "";
};

// What the wire said, before it means anything. Views may point into the head's fields.
struct RawRequest {
  absl::string_view method;
  absl::string_view scheme;     // "" in HTTP/1 origin-form
  absl::string_view authority;  // :authority or that of an absolute-form target; "" when absent
  absl::string_view target;     // origin-form, or "*"
  bool has_authority = false;
};

// Fills method, scheme, authority, host, target, path, query and content_length of `head`, whose fields are there.
// Http2: a missing host field is made from the authority.
std::optional<Refusal> CheckRequest(const RawRequest& raw, const Limits& limits, bool tls, RequestHead* head);

}  // namespace gatehouse::http
