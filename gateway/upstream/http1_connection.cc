#include "gateway/upstream/http1_connection.h"

#include <utility>

#include "gateway/base/prefetch.h"
#include "gateway/http/trailers.h"
#include "gateway/upstream/pool.h"
#include "gateway/upstream/request.h"
#include "gateway/upstream/request_head.h"

namespace gatehouse::upstream {
namespace {

constexpr size_t kReadSize = 32 * 1024;
constexpr size_t kHandlerSize = 640;      // or thereabouts
constexpr size_t kCompactAt = 256 * 1024;
constexpr int kReadsPerTurn = 4;          // then others get their turn
constexpr size_t kKeptCapacity = 8 * 1024;  // of an idle connection's send buffer

http::ResponseLimits LimitsOf(const UpstreamOptions& options) {
  http::ResponseLimits limits;
  limits.header_bytes = options.max_response_head;
  return limits;
}

}  // namespace

Http1Connection::Http1Connection(Pool* pool, std::shared_ptr<Site> site)
    : Connection(pool, std::move(site)),
      loop_(pool->loop_),
      link_(loop_, this),
      deadline_(&loop_->deadlines(), this),
      parser_(this, LimitsOf(pool->options_)) {}

Http1Connection::~Http1Connection() { loop_->Unmark(this); }

void Http1Connection::Connect() {
  link_.Connect(site_->endpoint->address(), pool_->options_.tls, site_->endpoint->host());
  Rearm();
}

bool Http1Connection::CanTake() const {
  return request_ == nullptr && !retired_ && (state_ == State::kConnecting || state_ == State::kIdle);
}

void Http1Connection::Attach(Request* request) {
  request_ = request;
  request->connection_ = this;
  request->state_ = Request::State::kAttached;
  if (state_ == State::kIdle) BeginRequest();
}

void Http1Connection::BeginRequest() {
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
  link_.Watch(!request_->paused_, false);
  Wake();
}

void Http1Connection::SendBody(Request* request, absl::string_view bytes, bool end) {
  if (write_broken_) return Wake();
  const bool sending = state_ == State::kBusy;
  std::string& out = sending ? out_ : request->wire_;
  AppendBody(request->framing_, bytes, end, request->trailers_.get(), &out);
  request->NoteUnsent(sending ? unsent() : out.size());
  if (sending) Wake();
}

Request* Http1Connection::TakeRequest() {
  Request* request = request_;
  request_ = nullptr;
  if (request != nullptr) request->connection_ = nullptr;
  return request;
}

void Http1Connection::Abandon(Request*) {
  const bool fin_due = switched_ && request_->ended_;
  TakeRequest();
  if (state_ == State::kConnecting && !retired_) return;  // it may serve another
  if (state_ == State::kBusy && !touched_ && !parser_.started()) {
    BecomeIdle();
    return;
  }
  if (state_ == State::kBusy && half_closed_ && fin_due && Untaken() > 0 && !write_broken_) {
    state_ = State::kParting;
    UpdateWatch();
    Rearm();
    return;
  }
  Close();
}

void Http1Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  deadline_.Clear();
  loop_->Unmark(this);
  link_.Close();
  pool_->OnClosed(this);
}

void Http1Connection::UpdateWatch() {
  if (state_ == State::kIdle) link_.Watch(true, false);
  if (state_ == State::kParting) link_.Watch(false, Untaken() > 0);
  if (state_ == State::kBusy) link_.Watch(!request_->paused_ && !half_closed_, Untaken() > 0);
}

void Http1Connection::UpdateReading(Request* request) {
  if (state_ != State::kBusy) return;
  if (!request->paused_ && link_.HasPending()) Wake();
  UpdateWatch();
  Rearm();
}

void Http1Connection::Rearm() {
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
      if (switched_ || (Untaken() > 0 && !request_->paused_)) {
        deadline_.Set(now + options.stall_timeout);
      } else if (request_->paused_ || (!request_->ended_ && !write_broken_ && request_->framing_ != Framing::kUpgrade)) {
        // The caller's turn, whose own timeouts watch the client. An upstream whose answer is not read may well read no more either.
        deadline_.Clear();
      } else {
        deadline_.Set(now + (head_seen_ ? options.stall_timeout : options.response_timeout));
      }
      return;
    case State::kClosed:
      return;
  }
}

void Http1Connection::OnDeadline(loop::Deadline*) {
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
        // Two sides that have nothing to say to each other are no failure of the endpoint.
        const std::string text = Named("no octet either way for the idle timeout");
        Request* request = TakeRequest();
        Close();
        request->Fail(ErrorKind::kStalled, text);
      } else if (Untaken() > 0) {
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

void Http1Connection::OnLinkUp() {
  if (request_ != nullptr) {
    BeginRequest();
  } else {
    BecomeIdle();
  }
}

void Http1Connection::OnLinkDown(absl::string_view why) {
  pool_->OnConnectFailed(this, ErrorKind::kConnectFailed, Named(why));
}

void Http1Connection::OnLinkReady(bool readable, bool writable) {
  if (writable && (state_ == State::kBusy || state_ == State::kParting)) Send();
  if (readable && (state_ == State::kBusy || state_ == State::kIdle)) Receive();
}

void Http1Connection::Flush() {
  if (state_ == State::kBusy || state_ == State::kParting) Send();
  if (state_ == State::kBusy && link_.HasPending()) Receive();
}

void Http1Connection::Send() {
  const size_t before = Untaken();
  size_t taken = 0;
  if (request_ != nullptr) Prefetch(request_, sizeof(*request_));
  const LinkStatus status = link_.Write(absl::string_view(out_).substr(sent_), &taken);
  sent_ += taken;
  bool progress = taken > 0 || Untaken() < before;
  touched_ = touched_ || progress;
  if (status == LinkStatus::kFailed && !touched_) return Unsent(ErrorKind::kReset, link_.error());
  if (status == LinkStatus::kFailed) {
    // It reads no more; a response that it gave before (413 and the like) may still be there to be read.
    sent_ = out_.size();
    progress = write_broken_ = true;
  }
  if (state_ == State::kParting) {
    if (Untaken() == 0) return Close();
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
  if (switched_ && Untaken() == 0 && (request_->ended_ || (half_closed_ && write_broken_))) EndSwitched();
}

void Http1Connection::EndSwitched() {
  if (!fin_sent_) link_.EndWriting();
  fin_sent_ = true;
  if (half_closed_) Complete(false);
}

void Http1Connection::Receive() {
  // Many other requests came between what was sent and this: while the kernel copies, what will be touched next comes closer.
  Prefetch(this, sizeof(*this));
  if (request_ != nullptr) {
    Prefetch(request_, sizeof(*request_));
    Prefetch(request_->handler_, kHandlerSize);
  }
  pool_->PrefetchPending();  // which this connection is given next
  char buffer[kReadSize];
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (state_ == State::kBusy && touched_ && (request_->paused_ || half_closed_)) return;
    size_t size = 0;
    const LinkStatus status = link_.Read(buffer, sizeof(buffer), &size);
    if (status == LinkStatus::kAgain) return;
    if (state_ == State::kIdle) {  // closed, or octets that nobody asked for
      Close();
      return;
    }
    const bool closed = status == LinkStatus::kEnd;
    if (!touched_) {  // before the request was sent: this is no answer to it
      Unsent(status == LinkStatus::kOk ? ErrorKind::kProtocol : ErrorKind::kReset,
             status == LinkStatus::kOk ? "spoke before it was asked" : closed ? "closed before the request was sent" : absl::string_view(link_.error()));
      return;
    }
    if (status != LinkStatus::kOk) {
      OnEnd(closed, closed ? "closed before the response was complete" : absl::string_view(link_.error()));
      return;
    }
    request_->handler_->Expect();
    size_t taken = parser_.Receive(absl::string_view(buffer, size));
    if (state_ != State::kBusy) return;  // cancelled by the handler
    if (parser_.state() == http::ResponseParser::State::kFailed) {
      FailRequest(ErrorKind::kProtocol, parser_.error());
      return;
    }
    if (parser_.state() == http::ResponseParser::State::kDone) {
      // Octets after the response answer nothing: the next request must not get them.
      Complete(parser_.reusable() && taken == size && link_.Drained());
      return;
    }
    Rearm();
    if (size < sizeof(buffer) && !link_.tls()) return;
  }
  if (link_.HasPending()) Wake();
}

void Http1Connection::OnEnd(bool closed, absl::string_view why) {
  if (reused_ && !parser_.started() && request_->repeatable()) {
    Request* request = TakeRequest();
    request->wire_ = std::move(out_);
    pool_->Repeat(this, {request});
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

void Http1Connection::OnResponseHead(http::ResponseHead&& head, bool end) {
  if (request_ == nullptr) return;
  head_seen_ = true;
  pool_->OnHead(request_, head.status);
  head.end = end;
  if (request_->framing_ == Framing::kUpgrade) {
    switched_ = head.status == 101;
    request_->ended_ = !switched_;  // an ordinary answer: nothing is sent any more
  }
  http::RemoveHopByHop(&head.fields);
  request_->handler_->OnHead(std::move(head));
}

void Http1Connection::OnEarlyHints(http::FieldList&& fields) {
  if (request_ != nullptr) request_->handler_->OnEarlyHints(std::move(fields));
}

void Http1Connection::OnResponseBody(absl::string_view data) {
  if (request_ != nullptr) request_->handler_->OnBody(data);
}

void Http1Connection::OnResponseEnd(http::FieldList&& trailers) { trailers_ = std::move(trailers); }

void Http1Connection::Complete(bool reusable) {
  bool whole = reusable && request_->ended_ && Untaken() == 0 && !write_broken_ && request_->framing_ != Framing::kUpgrade;
  http::FieldList trailers = std::move(trailers_);
  trailers_.Clear();
  if (!trailers.empty()) {
    trailers.RemoveIf([](absl::string_view name, absl::string_view) { return !http::MayTrail(name); });
    request_->handler_->OnTrailers(std::move(trailers));
    if (state_ != State::kBusy) return;
  }
  upstream::ResponseHandler* handler = TakeRequest()->End();
  if (whole) {
    BecomeIdle();
  } else {
    Close();
  }
  handler->OnComplete();
}

void Http1Connection::FailRequest(ErrorKind kind, absl::string_view detail) {
  std::string text = Named(detail);
  Request* request = TakeRequest();
  if (request->keeps_wire()) request->wire_ = std::move(out_);
  pool_->OnBroken(this, request, kind, text, /*seen=*/true);
}

void Http1Connection::Unsent(ErrorKind kind, absl::string_view detail) {
  const std::string text = Named(detail);
  Request* request = TakeRequest();
  request->wire_ = std::move(out_);
  if (!request->repeated_) return pool_->Repeat(this, {request});
  pool_->OnBroken(this, request, kind, text, /*seen=*/false);
}

void Http1Connection::BecomeIdle() {
  if (retired_) return Close();
  state_ = State::kIdle;
  reused_ = true;
  if (out_.capacity() > kKeptCapacity) std::string().swap(out_);
  out_.clear();
  sent_ = 0;
  UpdateWatch();
  Rearm();
  pool_->OnRoom(this);
}

}  // namespace gatehouse::upstream
