#include "gateway/upstream/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "gateway/upstream/pool.h"
#include "gateway/upstream/request.h"

namespace gatehouse::upstream {
namespace {

constexpr size_t kReadSize = 32 * 1024;
constexpr size_t kCompactAt = 256 * 1024;
constexpr int kReadsPerTurn = 4;          // then others get their turn
constexpr size_t kKeptCapacity = 8 * 1024;  // of an idle connection's send buffer

http::ResponseLimits LimitsOf(const UpstreamOptions& options) {
  http::ResponseLimits limits;
  limits.header_bytes = options.max_response_head;
  return limits;
}

std::string ErrnoText(int error) { return std::string(strerrordesc_np(error)); }

}  // namespace

Connection::Connection(Pool* pool, std::shared_ptr<Site> site)
    : pool_(pool),
      loop_(pool->loop_),
      site_(std::move(site)),
      deadline_(&loop_->deadlines(), this),
      parser_(this, LimitsOf(pool->options_)) {}

Connection::~Connection() { loop_->Unmark(this); }

std::string Connection::Named(absl::string_view what) const { return absl::StrCat(site_->name(), ": ", what); }

void Connection::Connect() {
  const loop::Address& address = site_->endpoint->address();
  fd_ = loop::Fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_.valid()) {
    connect_error_ = errno;
    loop_->MarkDirty(this);
    return;
  }
  int one = 1;
  setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (connect(fd_.get(), address.addr(), address.length()) != 0 && errno != EINPROGRESS) {
    connect_error_ = errno;
    loop_->MarkDirty(this);
    return;
  }
  watch_.emplace(loop_, fd_.get(), [this](bool readable, bool writable) { OnReady(readable, writable); });
  watch_->Set(false, true);
  Rearm();
}

void Connection::Attach(Request* request) {
  request_ = request;
  request->connection_ = this;
  request->state_ = Request::State::kAttached;
  if (state_ == State::kIdle) BeginRequest();
}

void Connection::BeginRequest() {
  state_ = State::kBusy;
  head_seen_ = false;
  touched_ = false;
  write_broken_ = false;
  parser_.Reset(request_->head_method_ ? "HEAD" : "GET", request_->framing_ == Framing::kUpgrade);
  // The two strings change places, so that both keep their memory.
  out_.clear();
  sent_ = 0;
  out_.swap(request_->wire_);
  // Not for writing: that is asked for only when the socket is full, or every request would cost two epoll_ctl.
  watch_->Set(!request_->paused_, false);
  Wake();
}

Request* Connection::TakeRequest() {
  Request* request = request_;
  request_ = nullptr;
  if (request != nullptr) request->connection_ = nullptr;
  return request;
}

void Connection::Abandon() {
  const bool fin_due = switched_ && request_->ended_;
  TakeRequest();
  if (state_ == State::kConnecting) return;  // it may serve another
  if (state_ == State::kBusy && !touched_ && !parser_.started()) {
    BecomeIdle();
    return;
  }
  if (state_ == State::kBusy && half_closed_ && fin_due && unsent() > 0 && !write_broken_) {
    state_ = State::kParting;
    UpdateWatch();
    Rearm();
    return;
  }
  Close();
}

bool Connection::Healthy() const {
  char octet;
  return recv(fd_.get(), &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void Connection::Wake() { loop_->MarkDirty(this); }

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  if (watch_.has_value()) watch_->Set(false, false);
  deadline_.Clear();
  loop_->Unmark(this);
  fd_.Close();
  pool_->OnClosed(this);
}

void Connection::UpdateWatch() {
  if (state_ == State::kIdle) watch_->Set(true, false);
  if (state_ == State::kParting) watch_->Set(false, unsent() > 0);
  if (state_ == State::kBusy) watch_->Set(!request_->paused_ && !half_closed_, unsent() > 0);
}

void Connection::UpdateReading() {
  if (state_ != State::kBusy) return;
  UpdateWatch();
  Rearm();
}

void Connection::Rearm() {
  const UpstreamOptions& options = pool_->options_;
  loop::Instant now = loop_->now();
  switch (state_) {
    case State::kConnecting:
      deadline_.Set(now + options.connect_timeout);
      return;
    case State::kIdle:
      deadline_.Set(now + options.keep_timeout);
      return;
    case State::kParting:
      deadline_.Set(now + options.stall_timeout);
      return;
    case State::kBusy:
      if (unsent() > 0 || switched_) {
        deadline_.Set(now + options.stall_timeout);
      } else if (request_->paused_ || (!request_->ended_ && !write_broken_ && request_->framing_ != Framing::kUpgrade)) {
        deadline_.Clear();  // the caller's turn, whose own timeouts watch the client
      } else {
        deadline_.Set(now + (head_seen_ ? options.stall_timeout : options.response_timeout));
      }
      return;
    case State::kClosed:
      return;
  }
}

void Connection::OnDeadline(loop::Deadline*) {
  switch (state_) {
    case State::kConnecting:
      pool_->OnConnectFailed(this, ErrorKind::kConnectTimeout, Named("no connection in time"));
      return;
    case State::kIdle:
    case State::kParting:
      Close();
      return;
    case State::kBusy:
      if (switched_) {
        FailRequest(ErrorKind::kStalled, "no octet either way for the idle timeout");
      } else if (unsent() > 0) {
        FailRequest(ErrorKind::kStalled, "does not take the request's body");
      } else if (head_seen_) {
        FailRequest(ErrorKind::kStalled, "stopped within the response's body");
      } else {
        FailRequest(ErrorKind::kResponseTimeout, "no response in time");
      }
      return;
    case State::kClosed:
      return;
  }
}

void Connection::OnReady(bool readable, bool writable) {
  if (state_ == State::kConnecting) {
    FinishConnect();
    return;
  }
  if (writable && (state_ == State::kBusy || state_ == State::kParting)) Send();
  if (readable && (state_ == State::kBusy || state_ == State::kIdle)) Receive();
}

void Connection::FinishConnect() {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) {
    pool_->OnConnectFailed(this, ErrorKind::kConnectFailed, Named(ErrnoText(error)));
    return;
  }
  if (request_ != nullptr) {
    BeginRequest();
  } else {
    BecomeIdle();
  }
}

void Connection::Flush() {
  if (connect_error_ != 0) {
    pool_->OnConnectFailed(this, ErrorKind::kConnectFailed, Named(ErrnoText(connect_error_)));
    return;
  }
  if (state_ == State::kBusy || state_ == State::kParting) Send();
}

void Connection::Send() {
  bool progress = false;
  while (unsent() > 0) {
    ssize_t n = send(fd_.get(), out_.data() + sent_, unsent(), MSG_NOSIGNAL);
    if (n > 0) {
      sent_ += static_cast<size_t>(n);
      progress = touched_ = true;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      // It reads no more; a response that it gave before (413 and the like) may still be there to be read.
      sent_ = out_.size();
      progress = touched_ = write_broken_ = true;
    }
    break;
  }
  if (state_ == State::kParting) {
    if (unsent() == 0) return Close();
    UpdateWatch();
    if (progress) Rearm();
    return;
  }
  // What may have to be sent again is kept until the next request.
  if (!request_->keeps_wire() && (unsent() == 0 || sent_ > kCompactAt)) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
  UpdateWatch();
  if (progress || !deadline_.armed()) Rearm();
  if (request_->above_mark_ && unsent() <= pool_->options_.send_buffer / 2) {
    request_->above_mark_ = false;
    request_->handler_->OnWritable();  // this may end the request
    if (state_ != State::kBusy) return;
  }
  if (switched_ && unsent() == 0 && (request_->ended_ || (half_closed_ && write_broken_))) EndSwitched();
}

void Connection::EndSwitched() {
  if (!fin_sent_) shutdown(fd_.get(), SHUT_WR);
  fin_sent_ = true;
  if (half_closed_) Complete(false);
}

void Connection::Receive() {
  char buffer[kReadSize];
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (state_ == State::kBusy && request_->paused_) return;
    ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (state_ == State::kIdle) {  // closed, or octets that nobody asked for
      Close();
      return;
    }
    if (n <= 0) {
      OnEnd(/*closed=*/n == 0, n == 0 ? "closed before the response was complete" : absl::string_view(strerrordesc_np(errno)));
      return;
    }
    auto size = static_cast<size_t>(n);
    size_t taken = parser_.Receive(absl::string_view(buffer, size));
    if (state_ != State::kBusy) return;  // cancelled by the handler
    if (parser_.state() == http::ResponseParser::State::kFailed) {
      FailRequest(ErrorKind::kProtocol, parser_.error());
      return;
    }
    if (parser_.state() == http::ResponseParser::State::kDone) {
      // Octets after the response answer nothing: the next request must not get them.
      Complete(parser_.reusable() && taken == size);
      return;
    }
    Rearm();
    if (size < sizeof(buffer)) return;
  }
}

void Connection::OnEnd(bool closed, absl::string_view why) {
  if (reused_ && !parser_.started() && request_->repeatable()) {
    pool_->Repeat(this);
    return;
  }
  if (!closed) return FailRequest(ErrorKind::kReset, why);
  if (switched_) {
    half_closed_ = true;
    if (fin_sent_ || write_broken_) return Complete(false);
    UpdateWatch();
    Rearm();
    request_->handler_->OnHalfClosed();
    return;
  }
  parser_.ReceiveEof();
  if (state_ != State::kBusy) return;
  if (parser_.state() == http::ResponseParser::State::kDone) {
    Complete(false);
    return;
  }
  FailRequest(ErrorKind::kReset, why);
}

void Connection::OnResponseHead(http::ResponseHead&& head, bool) {
  if (request_ == nullptr) return;
  head_seen_ = true;
  pool_->OnHead(request_, head.status);
  if (request_->framing_ == Framing::kUpgrade) {
    switched_ = head.status == 101;
    request_->ended_ = !switched_;  // an ordinary answer: nothing is sent any more
  }
  http::RemoveHopByHop(&head.fields);
  request_->handler_->OnHead(std::move(head));
}

void Connection::OnEarlyHints(http::FieldList&& fields) {
  if (request_ != nullptr) request_->handler_->OnEarlyHints(std::move(fields));
}

void Connection::OnResponseBody(absl::string_view data) {
  if (request_ != nullptr) request_->handler_->OnBody(data);
}

void Connection::OnResponseEnd(http::FieldList&& trailers) { trailers_ = std::move(trailers); }

void Connection::Complete(bool reusable) {
  bool whole = reusable && request_->ended_ && unsent() == 0 && !write_broken_ && request_->framing_ != Framing::kUpgrade;
  http::FieldList trailers = std::move(trailers_);
  trailers_.Clear();
  if (!trailers.empty()) {
    http::RemoveHopByHop(&trailers);
    request_->handler_->OnTrailers(std::move(trailers));
    if (state_ != State::kBusy) return;
  }
  Request* request = TakeRequest();
  request->state_ = Request::State::kDone;
  pool_->OnDone(request, nullptr);
  upstream::ResponseHandler* handler = request->handler_;
  if (whole) {
    BecomeIdle();
  } else {
    Close();
  }
  handler->OnComplete();
}

void Connection::FailRequest(ErrorKind kind, absl::string_view detail) {
  std::string text = Named(detail);
  Request* request = TakeRequest();
  if (request->keeps_wire()) request->wire_ = std::move(out_);
  pool_->OnBroken(this, request, kind, text, /*seen=*/true);
}

void Connection::BecomeIdle() {
  state_ = State::kIdle;
  reused_ = true;
  if (out_.capacity() > kKeptCapacity) std::string().swap(out_);
  out_.clear();
  sent_ = 0;
  UpdateWatch();
  Rearm();
  pool_->OnIdle(this);
}

}  // namespace gatehouse::upstream
