// RequestHead and ResponseHead: a message without its body, the same for HTTP/1.1 and HTTP/2. A RequestHead that a codec
// hands out has passed the perimeter: CheckRequest (request_check.h) says what that means.
//
// Ownership:  values; views point into the head itself and live as long as it is not moved, changed or destroyed.
// Threading:  thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/http/field_list.h"

namespace gatehouse::http {

class RequestHead {
 public:
  absl::string_view method() const { return fields_.View(method_); }
  absl::string_view scheme() const { return fields_.View(scheme_); }
  // host[:port], lower case, no userinfo: :authority, or Host.
  absl::string_view authority() const { return fields_.View(authority_); }
  // The authority without port; IPv6 keeps its brackets; one trailing dot removed.
  absl::string_view host() const { return fields_.View(host_); }
  // As received: path and query. For logs at most; never route by it.
  absl::string_view target() const { return fields_.View(target_); }
  // Canonical (path.h). Routes decide on it and the upstream gets it.
  absl::string_view path() const { return fields_.View(path_); }
  // Without '?', as received; see has_query for "/a" against "/a?".
  absl::string_view query() const { return fields_.View(query_); }
  bool has_query = false;

  int version = 11;  // 10, 11 or 20
  std::optional<uint64_t> content_length;
  bool has_body = false;  // body bytes (or its end) follow
  bool expect_continue = false;
  bool keep_alive = true;  // HTTP/1: the client's wish
  // It asks to speak WebSocket on this stream: Upgrade in HTTP/1.1 (RFC 6455 4.1), or extended CONNECT in HTTP/2 (RFC 8441),
  // which is the GET that it stands for. Any other upgrade is nothing but hop-by-hop fields.
  bool websocket = false;

  // Header fields in lower case, with host (HTTP/2: made from :authority when absent), without pseudo-fields.
  FieldList& fields() { return fields_; }
  const FieldList& fields() const { return fields_; }

  // What a request begins with; any of it may be a view of the fields' own octets, which is not stored again. Authority and
  // host are in lower case.
  struct Parts {
    absl::string_view method, scheme, authority, host, target, path, query;
  };
  void set_parts(const Parts& parts) {
    // Storing moves the octets that the others are views of: first those that are there.
    unsigned elsewhere = 0;
    const auto locate = [&](absl::string_view part, FieldList::Slice* to, unsigned bit) {
      if (!fields_.Locate(part, to)) elsewhere |= bit;
    };
    const auto store = [&](absl::string_view part, FieldList::Slice* to, unsigned bit) {
      if ((elsewhere & bit) != 0) *to = fields_.Store(part);
    };
    const auto each = [&](const auto& place) {
      place(parts.method, &method_, 1u);
      place(parts.scheme, &scheme_, 2u);
      place(parts.authority, &authority_, 4u);
      place(parts.host, &host_, 8u);
      place(parts.target, &target_, 16u);
      place(parts.path, &path_, 32u);
      place(parts.query, &query_, 64u);
    };
    each(locate);
    if (elsewhere != 0) each(store);
  }
  // A host field that says what the authority does.
  void AddHost() {
    const FieldList::Slice name = fields_.Store("host");
    fields_.AddStored(name, authority_);
  }
  // Back to the state of a new one, keeping the memory.
  void Clear() {
    FieldList kept = std::move(fields_);
    *this = RequestHead();
    fields_ = std::move(kept);
    fields_.Clear();
  }

 private:
  FieldList fields_;
  FieldList::Slice method_, scheme_, authority_, host_, target_, path_, query_;
};

struct ResponseHead {
  int status = 200;  // 200..599; 1xx goes by SendContinue and SendEarlyHints, 101 where ServerCodec::SendSwitch or an upgraded upstream says so
  FieldList fields;  // hop-by-hop fields and content-length in here are ignored by the codecs
  std::optional<uint64_t> content_length;  // unknown: chunked, or until the stream ends
  bool end = false;  // of an upstream's: neither body nor trailers follow
};

// Answer is a whole response.
struct Answer {
  ResponseHead head;
  std::string body;
};

}  // namespace gatehouse::http
