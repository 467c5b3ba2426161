// The two ends of a WebSocket handshake (RFC 6455 4) that a gateway has: what a client asks for is checked and asked of the
// upstream anew, and what the upstream answers is believed only with the proof that it speaks WebSocket. Towards the upstream
// it is always an HTTP/1.1 Upgrade; an extended CONNECT (RFC 8441), which has neither key nor proof, is given ours.
//
// Ownership:  values.
// Threading:  pure, but for the random key.
// Errors:     constant texts, for the event.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/http/message.h"

namespace gatehouse::server {

// AskWebSocket returns the Sec-WebSocket-Key that the upstream is sent; nullopt: the client's handshake is malformed, and
// `*error` says in what.
// REQUIRES: head.websocket.
std::optional<std::string> AskWebSocket(const http::RequestHead& head, absl::string_view* error);

// Whether a 101 proves that who sent it has read `key` as WebSocket's: exactly one Sec-WebSocket-Accept, and the right one.
bool ProvesWebSocket(const http::FieldList& answer, absl::string_view key);

}  // namespace gatehouse::server
