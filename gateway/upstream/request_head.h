// A request's head as it goes on the wire, HTTP/1.1 and HTTP/2. It is the last place where a CR, LF or NUL that got past
// everything above would become a second request: it refuses them again.
#pragma once

#include <string>

#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

// WriteHead appends to `out`, or returns false and leaves `out` as it was.
bool WriteHead(const RequestHead& head, std::string* out);

// ListHead fills `out` with the pseudo-fields of HTTP/2 (RFC 9113 8.3.1) and then the others, or returns false.
bool ListHead(const RequestHead& head, absl::string_view scheme, http::FieldList* out);

// AppendBody appends what `bytes` of the body, and its end, are in HTTP/1.1. `trailers`, if any, follow the last chunk; those
// that may not go on the wire are left out.
void AppendBody(Framing framing, absl::string_view bytes, bool end, const http::FieldList* trailers, std::string* out);

// AppendChunk appends one chunk (RFC 9112 7.1); nothing for empty `bytes`, which would end the body.
void AppendChunk(absl::string_view bytes, std::string* out);

}  // namespace gatehouse::upstream
