// Http1Connection carries one request at a time (RFC 9112).
//
//   kConnecting --> kBusy <--> kIdle        any --> kClosed (then deleted by Loop::DeferDelete)
//                     `--> kParting: the request is gone, and what it sent last after a switch still goes out
//
// Ownership:  the pool's.
// Threading:  the pool's loop.
// Units:      one Deadline serves all timeouts, since no two run at once.
#pragma once

#include <memory>
#include <string>

#include "gateway/http/http1_response.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/connection.h"
#include "gateway/upstream/link.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

class Http1Connection final : public Connection,
                              private loop::Flushable,
                              private loop::DeadlineHandler,
                              private LinkHandler,
                              private http::ResponseHandler {
 public:
  Http1Connection(Pool* pool, std::shared_ptr<Site> site);
  ~Http1Connection() override;

  void Connect() override;
  bool CanTake() const override;
  size_t active() const override { return request_ == nullptr ? 0 : 1; }
  void Attach(Request* request) override;
  Request* TakeRequest() override;
  bool Healthy() override { return link_.Healthy(/*may_speak=*/false); }
  void Close() override;
  void Abandon(Request* request) override;
  void SendBody(Request* request, absl::string_view bytes, bool end) override;
  void UpdateReading(Request* request) override;

 private:
  enum class State : uint8_t { kConnecting, kIdle, kBusy, kParting, kClosed };

  void Flush() override;
  void OnDeadline(loop::Deadline* deadline) override;
  void OnLinkUp() override;
  void OnLinkDown(absl::string_view why) override;
  void OnLinkReady(bool readable, bool writable) override;
  void OnResponseHead(http::ResponseHead&& head, bool end) override;
  void OnResponseBody(absl::string_view data) override;
  void OnEarlyHints(http::FieldList&& fields) override;
  void OnResponseEnd(http::FieldList&& trailers) override;

  void BeginRequest();
  void Send();
  void Receive();
  // `closed`: in good order.
  void OnEnd(bool closed, absl::string_view why);
  // Switched: passes on that one side has ended, and completes when both have.
  void EndSwitched();
  void Complete(bool reusable);
  void FailRequest(ErrorKind kind, absl::string_view detail);
  // The connection is of no use, and nothing of the request was sent on it.
  void Unsent(ErrorKind kind, absl::string_view detail);
  void BecomeIdle();
  void Rearm();
  void UpdateWatch();
  void Wake() { loop_->MarkDirty(this); }
  size_t unsent() const { return out_.size() - sent_; }
  // With what TLS holds.
  size_t Untaken() const { return unsent() + link_.unsent(); }

  // What sending touches comes first: Loop prefetches the beginning of what it flushes next.
  loop::Loop* const loop_;
  Request* request_ = nullptr;
  std::string out_;  // what is not sent yet of the request
  size_t sent_ = 0;
  State state_ = State::kConnecting;
  bool reused_ = false;        // carried a request before this one
  bool head_seen_ = false;
  bool touched_ = false;       // octets of this request were sent
  bool write_broken_ = false;  // the upstream stopped reading; its response may still come
  bool switched_ = false;      // 101: the bytes are WebSocket's
  bool half_closed_ = false;   // switched: the upstream ended its side
  bool fin_sent_ = false;      // switched: ours is ended
  Link link_;
  loop::Deadline deadline_;
  http::ResponseParser parser_;
  http::FieldList trailers_;
};

}  // namespace gatehouse::upstream
