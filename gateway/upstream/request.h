// Request is one exchange with an upstream, streamed both ways with bounded memory.
//
//   kQueued --connection--> kAttached --response complete--> kDone
//      `------------- error, exactly one OnError -------------^
//
// One that asks for WebSocket (kUpgrade) and is answered 101 is complete when both sides have ended theirs; its connection
// carries nothing else afterwards, whatever the answer was.
//
// Retries: pool.h. Besides, a kept connection that dies before the first octet of the response is replaced by a new one,
// once, for idempotent methods whose body was not begun.
//
// Ownership:  the caller's; destroying it cancels, inside a callback too, and no callback follows. An exchange that was
//             cancelled half-way costs its connection.
// Threading:  the pool's loop.
// Units:      octets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "boost/intrusive/list.hpp"
#include "gateway/base/recycled.h"
#include "gateway/http/field_list.h"
#include "gateway/loop/instant.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

class Connection;
class Http1Connection;
class Http2Connection;
class Pool;
struct Http2Exchange;
struct Site;

class Request final : public Recycled<Request>, public boost::intrusive::list_base_hook<> {
 public:
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // SendBody copies `bytes` to the send buffer. Call it only while writable(), or the buffer grows past its mark. After
  // `end` nothing more. kUpgrade: only after OnHead with 101. With kLength, more or fewer octets than declared end in kBadRequest (later, not inside).
  void SendBody(absl::string_view bytes, bool end);
  // The fields that follow the body. Call before its `end`. HTTP/1.1 has a place for them behind a chunked body only: elsewhere
  // they are dropped, as a gateway may (RFC 9110 6.5.1).
  void SetTrailers(http::FieldList&& trailers);
  bool writable() const { return !above_mark_; }
  // While paused, nothing is read: at most what was read already (32 KiB) is still delivered.
  void PauseReading();
  void ResumeReading();
  // All of the response was delivered, or OnError was.
  bool done() const { return state_ == State::kDone; }

 private:
  friend class Http1Connection;
  friend class Http2Connection;
  friend class Pool;
  enum class State : uint8_t { kQueued, kAttached, kFailing, kDone };

  Request(Pool* pool, ResponseHandler* handler, const RequestHead& head);
  // What was sent must be kept, since it may be sent again: it has no effect twice, and no body that is gone.
  bool keeps_wire() const { return idempotent_ && !body_begun_ && !head_seen_; }
  // May be sent again since its kept connection had died.
  bool repeatable() const { return keeps_wire() && !repeated_; }
  using Tried = absl::InlinedVector<const Site*, 2>;
  // How much waits to be sent; above the mark it is not writable().
  void NoteUnsent(size_t unsent);
  // Ends well; whom to tell. The connection must have let go of it.
  ResponseHandler* End();
  // Ends in OnError, after which this may be gone.
  void Fail(ErrorKind kind, absl::string_view detail);

  Pool* pool_;
  ResponseHandler* const handler_;
  Connection* connection_ = nullptr;    // kAttached
  Http2Exchange* exchange_ = nullptr;   // of an HTTP/2 connection
  std::string wire_;      // what is to be sent, until a connection takes it; with HTTP/2 the body alone
  http::FieldList head_;  // HTTP/2: the pseudo-fields, then the others
  std::unique_ptr<http::FieldList> trailers_;  // null: none; HTTP/2: until a stream takes them
  loop::Instant queued_at_;
  uint64_t remaining_;  // kLength: octets of the body still to come from the caller
  Site* site_ = nullptr;  // whose connection has it
  Tried tried_;           // where it failed
  uint32_t tries_ = 1;
  std::string failure_detail_;  // kFailing
  State state_ = State::kQueued;
  const Framing framing_;
  ErrorKind failure_ = ErrorKind::kBadRequest;  // kFailing
  const bool idempotent_;
  const bool head_method_;
  bool repeated_ = false;
  bool body_begun_ = false;
  bool head_seen_ = false;
  bool budgeted_ = false;  // a retry that counts in the pool's budget
  bool ended_;  // the caller gave all of the body
  bool paused_ = false;
  bool above_mark_ = false;
};

}  // namespace gatehouse::upstream
