// WebSocketHandshake is the gateway's part of one WebSocket handshake: what a client asks for is checked and asked of the upstream
// anew, and what the upstream answers is believed only with the proof that it speaks WebSocket. Client and upstream each may
// speak HTTP/1.1 (Upgrade, RFC 6455 4) or HTTP/2 (extended CONNECT, RFC 8441), which has neither key nor proof: there the
// protocol itself says that it was understood.
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
  // What is wrong with a client's handshake, and what it is answered.
  struct Fault {
    int status;
    absl::string_view text;
  };
  // Ask begins it. A fault: nothing is asked.
  // REQUIRES: head.websocket.
  std::optional<Fault> Ask(const http::RequestHead& head, bool upstream_http2);
  bool asked() const { return asked_; }
  // The client speaks another version than ours, and must be told which that is (RFC 6455 4.4).
  bool other_version() const { return other_version_; }
  // The Sec-WebSocket-Key that the upstream is sent; empty: none.
  absl::string_view key() const { return upstream_http2_ ? absl::string_view() : key_; }

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
  std::string Proof() const;
  // Whether a 101 proves that who sent it has read the key as WebSocket's: exactly one Sec-WebSocket-Accept, the right one.
  bool Proves(const http::FieldList& answer) const;

  std::string key_;  // the client's, or ours; empty where neither side has a use for it
  bool asked_ = false;
  bool other_version_ = false;
  bool client_http2_ = false;
  bool upstream_http2_ = false;
  bool switched_ = false;
};

}  // namespace gatehouse::server
