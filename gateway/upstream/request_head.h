// WriteHead puts a request's head on the wire, HTTP/1.1. It is the last place where a CR, LF or NUL that got past
// everything above would become a second request: it refuses them again.
#pragma once

#include <string>

#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

// WriteHead appends to `out`, or returns false and leaves `out` as it was.
bool WriteHead(const RequestHead& head, std::string* out);

// AppendChunk appends one chunk (RFC 9112 7.1); nothing for empty `bytes`, which would end the body.
void AppendChunk(absl::string_view bytes, std::string* out);

}  // namespace gatehouse::upstream
