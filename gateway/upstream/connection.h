// Connection is one HTTP/1.1 connection to an endpoint: it carries one request at a time and is kept between them.
//
//   kConnecting --> kBusy <--> kIdle        any --> kClosed (then deleted at the end of the loop's turn)
//                     `--> kParting: the request is gone, and what it sent last after a switch still goes out
//
// Ownership:  the pool's.
// Threading:  the pool's loop.
// Units:      one Deadline serves all timeouts, since no two run at once.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gateway/http/http1_response.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

class Pool;
class Request;
struct Site;

class Connection final : private loop::Flushable, private loop::DeadlineHandler, private http::ResponseHandler {
 public:
  Connection(Pool* pool, std::shared_ptr<Site> site);
  ~Connection() override;

  // Connect begins; its failure is reported to the pool in a later call from the loop.
  void Connect();
  // Attach takes on `request`, whose bytes are sent once connected, at the end of the turn.
  // REQUIRES: kConnecting or kIdle, without a request.
  void Attach(Request* request);
  // Abandon: the request was cancelled.
  void Abandon();
  // Lets go of the request that is attached without a word to it.
  Request* TakeRequest();
  // The kernel knows of nothing wrong with this idle connection.
  bool Healthy() const;
  // Closes and reports to the pool. The request, if any, must have been taken.
  void Close();

  // What is not sent yet of the request; append and Wake.
  std::string& out() { return out_; }
  size_t unsent() const { return out_.size() - sent_; }
  void Wake();
  bool write_broken() const { return write_broken_; }
  bool connected() const { return state_ == State::kIdle || state_ == State::kBusy; }
  // The request's pause bit changed.
  void UpdateReading();
  Site& site() { return *site_; }
  Request* request() { return request_; }
  // Where the pool keeps this.
  size_t pool_index = 0;

 private:
  enum class State : uint8_t { kConnecting, kIdle, kBusy, kParting, kClosed };

  void Flush() override;
  void OnDeadline(loop::Deadline* deadline) override;
  void OnResponseHead(http::ResponseHead&& head, bool end) override;
  void OnResponseBody(absl::string_view data) override;
  void OnEarlyHints(http::FieldList&& fields) override;
  void OnResponseEnd(http::FieldList&& trailers) override;

  void OnReady(bool readable, bool writable);
  void FinishConnect();
  void BeginRequest();
  void Send();
  void Receive();
  void OnEnd(bool closed, absl::string_view why);
  // Switched: passes on that one side has ended, and completes when both have.
  void EndSwitched();
  void Complete(bool reusable);
  void FailRequest(ErrorKind kind, absl::string_view detail);
  void BecomeIdle();
  void Rearm();
  void UpdateWatch();
  std::string Named(absl::string_view what) const;

  Pool* const pool_;
  loop::Loop* const loop_;
  const std::shared_ptr<Site> site_;
  loop::Fd fd_;
  std::optional<loop::Watch> watch_;
  loop::Deadline deadline_;
  http::ResponseParser parser_;
  Request* request_ = nullptr;
  std::string out_;
  size_t sent_ = 0;
  http::FieldList trailers_;
  int connect_error_ = 0;
  State state_ = State::kConnecting;
  bool reused_ = false;        // carried a request before this one
  bool head_seen_ = false;
  bool touched_ = false;       // octets of this request were sent
  bool write_broken_ = false;  // the upstream stopped reading; its response may still come
  bool switched_ = false;      // 101: the bytes are WebSocket's
  bool half_closed_ = false;   // switched: the upstream ended its side
  bool fin_sent_ = false;      // switched: ours is ended
};

}  // namespace gatehouse::upstream
