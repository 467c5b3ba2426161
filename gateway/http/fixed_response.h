// FixedResponse is an answer known beforehand (a fixed-response route, 401, 404): its HTTP/1.1 bytes and HTTP/2 fields are
// built once, and sending it allocates nothing.
//
// Ownership:  immutable; shared_ptr<const>, because codecs refer to it until it is sent.
// Threading:  thread-safe.
// Errors:     Create refuses fields that may not go on the wire (kInvalidArgument, naming the field).
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/http/message.h"

namespace gatehouse::http {

class FixedResponse {
 public:
  // Content-Length is made from `body`; hop-by-hop fields in `fields` are dropped.
  static absl::StatusOr<std::shared_ptr<const FixedResponse>> Create(int status, const FieldList& fields,
                                                                     std::string body);
  int status() const { return status_; }
  absl::string_view body() const { return body_; }
  // "HTTP/1.1 200 OK\r\n...content-length: 5\r\n": complete but for Date, Connection and the empty line.
  absl::string_view http1_head() const { return http1_head_; }
  const std::vector<nghttp2_nv>& http2_fields() const { return nv_; }
  bool body_allowed() const { return status_ != 204 && status_ != 304; }

 private:
  FixedResponse() = default;
  int status_ = 200;
  std::string body_;
  std::string http1_head_;
  std::vector<std::string> storage_;  // what nv_ points into
  std::vector<nghttp2_nv> nv_;
};

// "OK" for 200; "" when unknown.
absl::string_view ReasonPhrase(int status);

}  // namespace gatehouse::http
