// ReadHttp1Request makes a request of one complete HTTP/1 head: its line, a target in any form, its fields, and how its body is framed.
//
// Ownership:  `head` gets copies; the bytes may go.
// Threading:  stateless.
// Errors:     a Refusal, with which the connection ends.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "gateway/http/limits.h"
#include "gateway/http/message.h"
#include "gateway/http/request_check.h"

namespace gatehouse::http {

// What tells where a request's body ends.
enum class Framing : uint8_t { kNone, kLength, kChunked };

// Fills all of `head`. REQUIRES: `head` is clear, and ScanHead found `bytes` complete.
std::optional<Refusal> ReadHttp1Request(absl::string_view bytes, const Limits& limits, bool tls, RequestHead* head, Framing* framing);

}  // namespace gatehouse::http
