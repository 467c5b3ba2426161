#include "gateway/upstream/http2_connection.h"

#include <utility>

#include "gateway/upstream/pool.h"
#include "gateway/upstream/request.h"

namespace gatehouse::upstream {
namespace {

constexpr size_t kReadSize = 32 * 1024;
constexpr int kReadsPerTurn = 4;      // then others get their turn
constexpr size_t kBeforeSettings = 100;  // requests at a time, until the upstream has said how many

Http2Limits LimitsOf(const UpstreamOptions& options) {
  Http2Limits limits;
  limits.header_bytes = options.max_response_head;
  return limits;
}

http::OutBuffer& Gathered() {
  thread_local http::OutBuffer buffer(64 * 1024);
  return buffer;
}

}  // namespace

Http2Connection::Http2Connection(Pool* pool, std::shared_ptr<Site> site)
    : Connection(pool, std::move(site)),
      loop_(pool->loop_),
      link_(loop_, this),
      deadline_(&loop_->deadlines(), this),
      client_(this, LimitsOf(pool->options_)) {}

Http2Connection::~Http2Connection() { loop_->Unmark(this); }

void Http2Connection::Connect() {
  link_.Connect(site_->endpoint->address(), pool_->options_.tls, site_->endpoint->host());
  deadline_.Set(loop_->now() + pool_->options_.connect_timeout);
}

bool Http2Connection::CanTake() const {
  if (retired_) return false;
  return state_ == State::kConnecting ? exchanges_.size() < kBeforeSettings : state_ == State::kUp && client_.CanOpen();
}

bool Http2Connection::Healthy() { return state_ != State::kUp || link_.Healthy(/*may_speak=*/true); }

void Http2Connection::Attach(Request* request) {
  std::unique_ptr<Http2Exchange> exchange(new Http2Exchange(&loop_->deadlines(), this));  // a private base
  exchange->request = request;
  exchange->index = exchanges_.size();
  request->connection_ = this;
  request->exchange_ = exchange.get();
  request->state_ = Request::State::kAttached;
  exchanges_.push_back(std::move(exchange));
  if (state_ == State::kUp) {
    Begin(exchanges_.back().get());
    RearmConnection();
  }
}

void Http2Connection::Begin(Http2Exchange* exchange) {
  Request* request = exchange->request;
  if (request->framing_ == Framing::kUpgrade) {
    if (!client_.settled()) {  // only then is it known whether it may be asked (RFC 8441 3)
      settling_ = true;
      return exchange->deadline.Set(loop_->now() + pool_->options_.response_timeout);
    }
    if (!client_.TakesConnect()) {
      return pool_->FailLater(request, ErrorKind::kProtocol,
                              Named("does not speak WebSocket over HTTP/2: no SETTINGS_ENABLE_CONNECT_PROTOCOL"));
    }
  }
  exchange->stream =
      client_.Open(request->head_, std::exchange(request->wire_, {}), request->ended_, std::move(request->trailers_), exchange);
  if (exchange->stream == nullptr) {
    return pool_->FailLater(request, ErrorKind::kBadRequest, "the request cannot be written as HTTP/2");
  }
  Rearm(exchange);
  Wake();
}

Request* Http2Connection::Detach(Http2Exchange* exchange) {
  Request* request = exchange->request;
  request->connection_ = nullptr;
  request->exchange_ = nullptr;
  if (exchange->stream != nullptr) exchange->stream->user = nullptr;
  std::unique_ptr<Http2Exchange>& slot = exchanges_[exchange->index];
  if (&slot != &exchanges_.back()) {
    exchanges_.back()->index = exchange->index;
    slot.swap(exchanges_.back());
  }
  exchanges_.pop_back();
  return request;
}

Request* Http2Connection::TakeRequest() {
  if (exchanges_.empty()) return nullptr;
  Http2Exchange* exchange = exchanges_.back().get();
  if (exchange->stream != nullptr) client_.Drop(exchange->stream);
  return Detach(exchange);
}

void Http2Connection::Abandon(Request* request) {
  Http2Exchange* exchange = request->exchange_;
  if (exchange->stream != nullptr) client_.Drop(exchange->stream);
  Detach(exchange);
  Wake();
}

void Http2Connection::Close() {
  if (state_ == State::kClosed) return;
  if (receiving_) {
    retired_ = close_due_ = true;
    return pool_->OnFull(this);
  }
  if (state_ == State::kUp) {
    client_.GoAway();
    Send();
    if (state_ == State::kClosed) return;  // it was broken
  }
  state_ = State::kClosed;
  deadline_.Clear();
  loop_->Unmark(this);
  link_.Close();
  pool_->OnClosed(this);
}

void Http2Connection::SendBody(Request* request, absl::string_view bytes, bool end) {
  Http2Stream* stream = request->exchange_->stream;
  if (stream == nullptr) {
    request->wire_.append(bytes.data(), bytes.size());
    return request->NoteUnsent(request->wire_.size());
  }
  client_.SendBody(stream, bytes, end, std::move(request->trailers_));
  request->NoteUnsent(stream->unsent());
  Rearm(request->exchange_);
  Wake();
}

void Http2Connection::UpdateReading(Request* request) {
  if (request->exchange_->stream == nullptr) return;
  if (!request->paused_) {
    client_.Consume(request->exchange_->stream);
    Wake();
  }
  Rearm(request->exchange_);
}

void Http2Connection::BeginWaiting() {
  std::vector<Http2Exchange*> waiting;  // one that fails leaves the list
  for (const std::unique_ptr<Http2Exchange>& exchange : exchanges_) {
    if (exchange->stream == nullptr) waiting.push_back(exchange.get());
  }
  for (Http2Exchange* exchange : waiting) Begin(exchange);
}

void Http2Connection::OnLinkUp() {
  state_ = State::kUp;
  written_at_ = heard_at_ = loop_->now();
  BeginWaiting();
  link_.Watch(true, false);
  Wake();
  Settle();
}

void Http2Connection::OnLinkDown(absl::string_view why) {
  pool_->OnConnectFailed(this, ErrorKind::kConnectFailed, Named(why));
}

void Http2Connection::OnLinkReady(bool readable, bool writable) {
  if (writable && state_ == State::kUp) Send();
  if (readable && state_ == State::kUp) Receive();
}

void Http2Connection::Flush() {
  if (state_ == State::kUp && link_.HasPending()) Receive();
  if (state_ == State::kUp) Send();
  // The requests that ended in this turn may have been the last.
  if (state_ == State::kUp) Settle();
}

void Http2Connection::Send() {
  if (state_ != State::kUp) return;
  http::OutBuffer& gathered = Gathered();
  for (;;) {
    const size_t before = rest_.size() + link_.unsent();
    size_t taken = 0;
    LinkStatus status = link_.Write(rest_, &taken);
    rest_.erase(0, taken);
    if (status == LinkStatus::kOk) {
      gathered.Clear();
      if (!client_.Produce(&gathered)) {
        client_.Tell();  // of those that it never saw: they go elsewhere
        return Break(ErrorKind::kProtocol, client_.error());
      }
      if (gathered.empty()) break;
      status = link_.Write(gathered.view(), &taken);
      if (taken < gathered.size()) rest_ = std::string(gathered.view().substr(taken));
    }
    if (rest_.size() + link_.unsent() != before || taken > 0) written_at_ = loop_->now();
    if (status == LinkStatus::kFailed) {
      // What it said before (GOAWAY with its reason) may still be there to be read.
      rest_.clear();
      const std::string why = link_.error();
      Receive();
      if (state_ == State::kUp) Break(ErrorKind::kReset, why);
      return;
    }
    if (status == LinkStatus::kAgain) break;
  }
  link_.Watch(true, blocked());
  client_.Tell();
  for (size_t i = exchanges_.size(); i-- > 0 && state_ == State::kUp;) {
    if (i >= exchanges_.size() || !std::exchange(exchanges_[i]->room, false)) continue;
    Request* request = exchanges_[i]->request;
    request->above_mark_ = false;
    request->handler_->OnWritable();  // this may end the request, and others
  }
  if (state_ == State::kUp) RearmConnection();
}

void Http2Connection::Receive() {
  char buffer[kReadSize];
  for (int i = 0; i < kReadsPerTurn; ++i) {
    size_t size = 0;
    const LinkStatus status = link_.Read(buffer, sizeof(buffer), &size);
    if (status == LinkStatus::kAgain) break;
    if (status != LinkStatus::kOk) {
      return Break(ErrorKind::kReset, status == LinkStatus::kEnd ? "closed before the response was complete"
                                                                 : absl::string_view(link_.error()));
    }
    heard_at_ = loop_->now();
    pinging_ = false;
    receiving_ = true;
    const bool well = client_.Receive(absl::string_view(buffer, size), heard_at_);
    receiving_ = false;
    if (!well) return Break(ErrorKind::kProtocol, client_.error());
    if (close_due_) return Close();
    if (settling_ && client_.settled()) {
      settling_ = false;
      BeginWaiting();
    }
    if (size < sizeof(buffer) && !link_.tls()) break;
  }
  Wake();  // for what is to be said in turn, and what is still to be read
  Settle();
}

void Http2Connection::Settle() {
  if (exchanges_.empty() && (retired_ || client_.going_away())) return Close();
  RearmConnection();
  if (CanTake()) pool_->OnRoom(this);
}

void Http2Connection::Break(ErrorKind kind, absl::string_view why) {
  if (state_ != State::kUp) return;
  const std::string text = Named(why);
  state_ = State::kFailing;
  pool_->OnFull(this);
  // First those that are sent again, whom nobody tells: they need the place that this one leaves.
  const auto sent = [](const Http2Exchange& exchange) { return exchange.stream != nullptr && exchange.stream->head_sent; };
  std::vector<Request*> again;
  for (size_t i = exchanges_.size(); i-- > 0;) {  // Detach puts the last one in the place of the one that goes
    Http2Exchange* exchange = exchanges_[i].get();
    Request* request = exchange->request;
    if (request->repeated_ || (sent(*exchange) && !(reused_ && kind == ErrorKind::kReset && request->repeatable()))) continue;
    Http2Stream* stream = exchange->stream;
    if (stream != nullptr && !stream->head_sent) TakeBack(stream, request);
    if (stream != nullptr) client_.Drop(stream);
    again.push_back(Detach(exchange));
  }
  if (!again.empty()) pool_->Repeat(this, again);
  bool counted = false;  // one connection that breaks is one failure
  while (!exchanges_.empty()) {
    Http2Stream* stream = exchanges_.back()->stream;
    const bool seen = sent(*exchanges_.back());
    if (stream != nullptr && !seen) TakeBack(stream, exchanges_.back()->request);
    Request* request = TakeRequest();
    if (std::exchange(counted, true)) {
      pool_->OnLost(request, kind, text, seen);
    } else {
      pool_->OnFailed(request, kind, text, seen);
    }
  }
  Close();
}

void Http2Connection::OnStreamHead(Http2Stream* stream, http::ResponseHead&& head) {
  Http2Exchange* exchange = Of(stream);
  exchange->head_seen = reused_ = true;
  if (exchange->request->framing_ == Framing::kUpgrade) {
    exchange->request->ended_ = !stream->switched;  // an ordinary answer: nothing is sent any more
    if (stream->switched) head.status = 101;
  }
  pool_->OnHead(exchange->request, head.status);
  Rearm(exchange);
  exchange->request->handler_->OnHead(std::move(head));
}

void Http2Connection::OnStreamHints(Http2Stream* stream, http::FieldList&& fields) {
  Of(stream)->request->handler_->OnEarlyHints(std::move(fields));
}

void Http2Connection::OnStreamBody(Http2Stream* stream, absl::string_view bytes) {
  Of(stream)->request->handler_->OnBody(bytes);
  if (stream->user == nullptr) return;  // cancelled
  if (!Of(stream)->request->paused_) client_.Consume(stream);
  Rearm(Of(stream));
}

void Http2Connection::OnStreamTrailers(Http2Stream* stream, http::FieldList&& trailers) {
  Of(stream)->request->handler_->OnTrailers(std::move(trailers));
}

void Http2Connection::OnStreamHalfClosed(Http2Stream* stream) {
  Rearm(Of(stream));
  Of(stream)->request->handler_->OnHalfClosed();
}

void Http2Connection::OnStreamEnd(Http2Stream* stream) { Detach(Of(stream))->End()->OnComplete(); }

void Http2Connection::OnStreamFailed(Http2Stream* stream, ErrorKind kind, absl::string_view detail) {
  Request* request = Detach(Of(stream));
  const bool seen = kind != ErrorKind::kRefused || stream->body_begun;
  if (!seen) TakeBack(stream, request);
  pool_->OnFailed(request, kind, Named(detail), seen);
}

void Http2Connection::TakeBack(Http2Stream* stream, Request* request) {
  request->wire_ = std::move(stream->out);
  request->trailers_ = std::move(stream->trailers);
}

void Http2Connection::OnStreamSent(Http2Stream* stream) {
  Http2Exchange* exchange = Of(stream);
  Rearm(exchange);
  if (exchange->request->above_mark_ && stream->unsent() <= pool_->options_.send_buffer / 2) exchange->room = true;
}

void Http2Connection::Rearm(Http2Exchange* exchange) {
  const UpstreamOptions& options = pool_->options_;
  const Request& request = *exchange->request;
  const loop::Instant now = loop_->now();
  if (exchange->stream->switched || (exchange->stream->unsent() > 0 && !request.paused_)) {
    exchange->deadline.Set(now + options.stall_timeout);
  } else if (request.paused_ || (!request.ended_ && request.framing_ != Framing::kUpgrade)) {
    // The caller's turn, whose own timeouts watch the client. An upstream whose answer is not read may well read no more either.
    exchange->deadline.Clear();
  } else {
    exchange->deadline.Set(now + (exchange->head_seen ? options.stall_timeout : options.response_timeout));
  }
}

void Http2Connection::RearmConnection() {
  const UpstreamOptions& options = pool_->options_;
  if (blocked()) {
    deadline_.Set(written_at_ + options.stall_timeout);
  } else if (exchanges_.empty()) {
    // From when the last request went; what an idle upstream says does not count.
    if (!idle_) deadline_.Set(loop_->now() + options.keep_timeout);
  } else {
    deadline_.Set(heard_at_ + options.ping_after + (pinging_ ? options.ping_timeout : absl::ZeroDuration()));
  }
  idle_ = exchanges_.empty() && !blocked();
}

void Http2Connection::OnDeadline(loop::Deadline* deadline) {
  if (deadline != &deadline_) {
    for (const std::unique_ptr<Http2Exchange>& exchange : exchanges_) {
      if (&exchange->deadline == deadline) return OnTimeout(exchange.get());
    }
    return;
  }
  if (state_ == State::kConnecting) {
    pool_->OnConnectFailed(this, ErrorKind::kConnectTimeout, Named("no connection in time"));
  } else if (blocked()) {
    Break(ErrorKind::kStalled, "does not read what is sent");
  } else if (exchanges_.empty()) {
    Close();
  } else if (pinging_) {
    Break(ErrorKind::kStalled, "does not answer");
  } else {
    pinging_ = true;
    client_.Ping();
    Wake();
    RearmConnection();
  }
}

void Http2Connection::OnTimeout(Http2Exchange* exchange) {
  const bool switched = exchange->stream != nullptr && exchange->stream->switched;
  const bool sending = exchange->stream != nullptr && exchange->stream->unsent() > 0;
  const bool head_seen = exchange->head_seen;
  if (exchange->stream != nullptr) client_.Drop(exchange->stream);
  Request* request = Detach(exchange);
  Wake();
  if (switched) {
    // Two sides that have nothing to say to each other are no failure of the endpoint.
    request->Fail(ErrorKind::kStalled, Named("no octet either way for the idle timeout"));
  } else if (sending) {
    pool_->OnFailed(request, ErrorKind::kStalled, Named("does not take the request's body"), /*seen=*/true);
  } else if (head_seen) {
    pool_->OnFailed(request, ErrorKind::kStalled, Named("stopped within the response's body"), /*seen=*/true);
  } else {
    pool_->OnFailed(request, ErrorKind::kResponseTimeout, Named("no response in time"), /*seen=*/true);
  }
}

}  // namespace gatehouse::upstream
