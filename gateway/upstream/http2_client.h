// Http2Client is the client's side of one HTTP/2 connection (RFC 9113), sans-I/O: octets in, events and octets out.
//
// A stream:   Open() -> head, body, trailers -> exactly one of OnEnd and OnFailed, after which it is no longer the handler's.
//             An extended CONNECT that is answered 2xx is switched: it ends when both sides have ended theirs.
// Windows:    a stream is given 64 KiB, and more only as Consume says; the connection's window is never what holds a
//             stream back, so that one that is not read does not hold up the others.
//
// Ownership:  owns the streams; the handler is borrowed.
// Threading:  one thread. Open, SendBody, Consume and Drop may be called from the handler; Receive and Produce may not.
// Units:      octets.
// Errors:     of a stream: OnFailed. Of the connection: Receive or Produce is false, see error(); the owner then fails what runs.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "gateway/http/field_list.h"
#include "gateway/http/flood.h"
#include "gateway/http/message.h"
#include "gateway/http/out_buffer.h"
#include "gateway/loop/instant.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

struct Http2Stream {
  int32_t id = 0;
  void* user = nullptr;  // the handler's
  Http2Stream* prev = nullptr;
  Http2Stream* next = nullptr;
  // The request's body.
  std::string out;
  size_t sent = 0;
  bool out_end = false;     // all of it is in `out`
  std::unique_ptr<http::FieldList> trailers;  // that follow it; null: none
  bool deferred = false;    // nghttp2 waits for more of it
  bool body_begun = false;  // some went out
  bool body_ended = false;  // all did
  // The response.
  bool head_sent = false;   // the request's
  bool reset_received = false;
  bool head_seen = false;
  bool tunnel = false;       // the request is an extended CONNECT (RFC 8441)
  bool switched = false;     // and was answered 2xx: the bodies are another protocol's, and end apart
  bool half_closed = false;  // switched: the upstream has ended its side
  bool over = false;  // nothing more is told
  bool too_large = false;
  int status = 0;
  int interim = 0;
  size_t header_bytes = 0;
  size_t unconsumed = 0;
  http::FieldList fields;  // that arrive

  size_t unsent() const { return out.size() - sent; }
};

class Http2Handler {
 public:
  // The final head (never 1xx); `end` in it: OnEnd follows at once.
  virtual void OnStreamHead(Http2Stream* stream, http::ResponseHead&& head) = 0;
  // 103, before the final head.
  virtual void OnStreamHints(Http2Stream* stream, http::FieldList&& fields) = 0;
  // Counts against the stream's window until Consume.
  virtual void OnStreamBody(Http2Stream* stream, absl::string_view bytes) = 0;
  virtual void OnStreamTrailers(Http2Stream* stream, http::FieldList&& trailers) = 0;
  // A switched stream: the upstream has ended its side and takes what is still sent. OnStreamEnd follows once ours is ended.
  virtual void OnStreamHalfClosed(Http2Stream* stream) = 0;
  // The response is whole. What is left of the request is not sent.
  virtual void OnStreamEnd(Http2Stream* stream) = 0;
  virtual void OnStreamFailed(Http2Stream* stream, ErrorKind kind, absl::string_view detail) = 0;
  // Some of the body went out. Called inside Produce: it calls nothing of this.
  virtual void OnStreamSent(Http2Stream* stream) = 0;

 protected:
  ~Http2Handler() = default;
};

struct Http2Limits {
  size_t header_bytes = 64 * 1024;  // as RFC 9113 6.5.2 counts them
  size_t header_count = 200;
  int interim_responses = 16;
  size_t stream_window = 64 * 1024;
  size_t connection_window = 1024 * 1024;
  size_t streams = 1000;  // at a time, where the upstream allows as many
  // Floods: PING, SETTINGS, PRIORITY, pushes, empty DATA, frames of unknown streams.
  double control_burst = 2000;
  double control_per_second = 1000;
  double window_update_burst = 50000;
  double window_update_per_second = 50000;
};

class Http2Client {
 public:
  Http2Client(Http2Handler* handler, const Http2Limits& limits);
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  // One more stream may be opened now.
  bool CanOpen() const;
  // The upstream has said its first SETTINGS, and takes an extended CONNECT.
  bool settled() const { return settled_; }
  bool TakesConnect() const;
  // `head`: pseudo-fields first, :method first of all. With CONNECT, REQUIRES TakesConnect(). Null: it cannot be sent. `body` is what there is of it, and `end` whether that is all.
  // `trailers`: what follows the end, if not null; those that may not go on the wire are left out.
  Http2Stream* Open(const http::FieldList& head, std::string&& body, bool end, std::unique_ptr<http::FieldList> trailers,
                    void* user);
  void SendBody(Http2Stream* stream, absl::string_view bytes, bool end, std::unique_ptr<http::FieldList> trailers);
  // Gives the stream its window back, for all that came.
  void Consume(Http2Stream* stream);
  // The handler lets go of the stream: nothing more is told, and the upstream is told to stop. But what was sent last to one that
  // has ended its side still goes out, where it need not wait.
  void Drop(Http2Stream* stream);
  void Ping();
  void GoAway();

  bool Receive(absl::string_view bytes, loop::Instant now);
  bool Produce(http::OutBuffer* out);
  // Tells of streams that ended while octets were produced. Call after Produce; the handler may do anything.
  void Tell();
  bool WantsWrite() const { return error_.empty() && nghttp2_session_want_write(session_) != 0; }
  // Streams that the handler has.
  size_t active() const { return active_; }
  // The upstream said that it takes no more.
  bool going_away() const { return going_away_; }
  const std::string& error() const { return error_; }

 private:
  friend struct Http2ClientCallbacks;
  void Fail(absl::string_view why);
  // Tells the handler, once.
  void End(Http2Stream* s);
  void FailStream(Http2Stream* s, ErrorKind kind, absl::string_view detail, uint32_t code);
  void OnHeaders(Http2Stream* s, bool end);
  void CountControl();
  void FailClosed(Http2Stream* s, uint32_t code);

  Http2Handler* const handler_;
  const Http2Limits limits_;
  nghttp2_session* session_ = nullptr;
  Http2Stream* streams_ = nullptr;
  size_t open_ = 0;    // that nghttp2 has
  size_t active_ = 0;
  std::vector<std::pair<std::unique_ptr<Http2Stream>, uint32_t>> untold_;  // closed, and by which code
  bool going_away_ = false;
  bool settled_ = false;
  std::string error_;
  http::TokenBucket control_;
  http::TokenBucket window_updates_;
  loop::Instant now_;
  http::OutBuffer* target_ = nullptr;
};

}  // namespace gatehouse::upstream
