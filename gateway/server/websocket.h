// WebSocketHandshake is the gateway's part of one WebSocket handshake (RFC 6455 4, RFC 8441): what a client asks for is checked
// and asked of the upstream anew, and what the upstream answers is believed only with the proof that it speaks WebSocket. The
// upstream is asked by an HTTP/1.1 Upgrade, whatever the client speaks; an extended CONNECT, which has neither key nor proof,
// is given a key of ours.
//
//   not asked --Ask--> asked --Judge: kSwitch--> switched
//
// Ownership:  a value.
// Threading:  thread-compatible.
// Errors:     constant texts, for the event.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/http/message.h"

namespace gatehouse::server {

class WebSocketHandshake {
 public:
  // Ask begins it. A text: the client's handshake is malformed, and in what; nothing is asked.
  // REQUIRES: head.websocket.
  std::optional<absl::string_view> Ask(const http::RequestHead& head);
  bool asked() const { return !key_.empty(); }
  // The Sec-WebSocket-Key that the upstream is sent.
  const std::string& key() const { return key_; }

  enum class Outcome : uint8_t {
    kSwitch,    // `answer` is what the client is told
    kOrdinary,  // an answer like any other
    kWrong,     // neither: `*wrong` says why
  };
  // Judge says what the upstream's `answer` is.
  // REQUIRES: asked().
  Outcome Judge(http::ResponseHead* answer, absl::string_view* wrong);
  // Both sides speak WebSocket.
  bool switched() const { return switched_; }
  void Switched() { switched_ = true; }

 private:
  // Whether a 101 proves that who sent it has read the key as WebSocket's: exactly one Sec-WebSocket-Accept, the right one.
  bool Proves(const http::FieldList& answer) const;

  std::string key_;
  bool client_http2_ = false;
  bool switched_ = false;
};

}  // namespace gatehouse::server
