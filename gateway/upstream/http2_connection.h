// Http2Connection carries many requests at a time (RFC 9113): as many as the upstream allows.
//
//   kConnecting --> kUp --> kClosed
//                     `--> kFailing: broken; its requests are told one by one
//
// Timeouts:   each request has its own, as with HTTP/1.1. An upstream that is silent while requests run is asked by PING, and
//             given up when it does not answer.
// Ownership:  the pool's.
// Threading:  the pool's loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/loop/deadline.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/connection.h"
#include "gateway/upstream/http2_client.h"
#include "gateway/upstream/link.h"

namespace gatehouse::upstream {

// A request on this connection.
struct Http2Exchange {
  Http2Exchange(loop::DeadlineWheel* wheel, loop::DeadlineHandler* handler) : deadline(wheel, handler) {}
  Request* request = nullptr;
  Http2Stream* stream = nullptr;  // null: not connected yet, or it waits for the upstream's SETTINGS
  size_t index = 0;               // in the connection's list
  bool head_seen = false;
  bool room = false;  // its request is told that it is writable, soon
  loop::Deadline deadline;
};

class Http2Connection final : public Connection,
                              private loop::Flushable,
                              private loop::DeadlineHandler,
                              private LinkHandler,
                              private Http2Handler {
 public:
  Http2Connection(Pool* pool, std::shared_ptr<Site> site);
  ~Http2Connection() override;

  void Connect() override;
  bool CanTake() const override;
  size_t active() const override { return exchanges_.size(); }
  void Attach(Request* request) override;
  Request* TakeRequest() override;
  bool Healthy() override;
  void Close() override;
  void Abandon(Request* request) override;
  void SendBody(Request* request, absl::string_view bytes, bool end) override;
  void UpdateReading(Request* request) override;

 private:
  enum class State : uint8_t { kConnecting, kUp, kFailing, kClosed };

  void Flush() override;
  void OnDeadline(loop::Deadline* deadline) override;
  void OnLinkUp() override;
  void OnLinkDown(absl::string_view why) override;
  void OnLinkReady(bool readable, bool writable) override;
  void OnStreamHead(Http2Stream* stream, http::ResponseHead&& head) override;
  void OnStreamHints(Http2Stream* stream, http::FieldList&& fields) override;
  void OnStreamBody(Http2Stream* stream, absl::string_view bytes) override;
  void OnStreamTrailers(Http2Stream* stream, http::FieldList&& trailers) override;
  void OnStreamHalfClosed(Http2Stream* stream) override;
  void OnStreamEnd(Http2Stream* stream) override;
  void OnStreamFailed(Http2Stream* stream, ErrorKind kind, absl::string_view detail) override;
  void OnStreamSent(Http2Stream* stream) override;

  static Http2Exchange* Of(Http2Stream* stream) { return static_cast<Http2Exchange*>(stream->user); }
  void Begin(Http2Exchange* exchange);
  // Begins those that are not begun.
  void BeginWaiting();
  // What was not sent of it, for another connection.
  static void TakeBack(Http2Stream* stream, Request* request);
  // The request is no longer here.
  Request* Detach(Http2Exchange* exchange);
  void Send();
  void Receive();
  // Fails what runs, and closes.
  void Break(ErrorKind kind, absl::string_view why);
  // After requests came or went.
  void Settle();
  void OnTimeout(Http2Exchange* exchange);
  void Rearm(Http2Exchange* exchange);
  void RearmConnection();
  bool blocked() const { return !rest_.empty() || link_.unsent() > 0; }
  void Wake() { loop_->MarkDirty(this); }

  loop::Loop* const loop_;
  Link link_;
  loop::Deadline deadline_;
  Http2Client client_;
  std::vector<std::unique_ptr<Http2Exchange>> exchanges_;
  std::string rest_;  // was produced, and the socket did not take it
  loop::Instant written_at_, heard_at_;
  State state_ = State::kConnecting;
  bool reused_ = false;   // answered a request before
  bool pinging_ = false;
  bool settling_ = false;  // a request for WebSocket waits for the upstream's SETTINGS
  bool receiving_ = false;  // nghttp2 is at work on what came: nothing may be produced, nor may it go
  bool close_due_ = false;  // when it has done
  bool idle_ = false;  // its deadline counts from when it became so
};

}  // namespace gatehouse::upstream
