// Request is one exchange with an upstream, streamed both ways with bounded memory.
//
//   kQueued --connection--> kAttached --response complete--> kDone
//      `------------- error, exactly one OnError -------------^
//
// One that asks for WebSocket (kUpgrade) and is answered 101 is complete when both sides have ended theirs; its connection
// carries nothing else afterwards, whatever the answer was.
//
// Retries: a refused or timed-out connect tries other endpoints, since nothing was sent. A kept connection that dies
// before the first octet of the response is retried once on a new one, only for idempotent methods without a body.
//
// Ownership:  the caller's; destroying it cancels, inside a callback too, and no callback follows. An exchange that was
//             cancelled half-way costs its connection.
// Threading:  the pool's loop.
// Units:      octets.
#pragma once

#include <cstdint>
#include <list>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/loop/instant.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

class Connection;
class Pool;

class Request {
 public:
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // SendBody copies `bytes` to the send buffer. Call it only while writable(), or the buffer grows past its mark. After
  // `end` nothing more. kUpgrade: only after OnHead with 101. With kLength, more or fewer octets than declared end in kBadRequest (later, not inside).
  void SendBody(absl::string_view bytes, bool end);
  bool writable() const { return !above_mark_; }
  // While paused, nothing is read: at most what was read already (32 KiB) is still delivered.
  void PauseReading();
  void ResumeReading();
  // All of the response was delivered, or OnError was.
  bool done() const { return state_ == State::kDone; }

 private:
  friend class Connection;
  friend class Pool;
  enum class State : uint8_t { kQueued, kAttached, kFailing, kDone };

  Request(Pool* pool, ResponseHandler* handler, const RequestHead& head);
  // May be sent again on another connection: it has no effect twice and no body that is gone.
  bool repeatable() const { return idempotent_ && framing_ == Framing::kNoBody && !repeated_; }
  // Ends in OnError, after which this may be gone.
  void Fail(ErrorKind kind, absl::string_view detail);

  Pool* pool_;
  ResponseHandler* const handler_;
  Connection* connection_ = nullptr;  // kAttached
  std::string wire_;  // what is to be sent, until a connection takes it
  std::list<Request*>::iterator place_;  // in the pool's queue; kQueued, kFailing
  loop::Instant queued_at_;
  uint64_t remaining_;  // kLength: octets of the body still to come from the caller
  int attempts_ = 0;    // connects that failed
  int timeouts_ = 0;    // of which timed out
  State state_ = State::kQueued;
  const Framing framing_;
  ErrorKind failure_ = ErrorKind::kBadRequest;  // kFailing
  const bool idempotent_;
  const bool head_method_;
  bool repeated_ = false;
  bool ended_;  // the caller gave all of the body
  bool paused_ = false;
  bool above_mark_ = false;
};

}  // namespace gatehouse::upstream
