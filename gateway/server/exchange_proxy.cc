// The exchange between its client and an upstream: what is sent on, what comes back, and how either ends.
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/server/answers.h"
#include "gateway/server/connection.h"
#include "gateway/server/exchange.h"
#include "gateway/server/forwarded_request.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {
namespace {

// When a client may ask again whom an upstream has no room for.
constexpr absl::Duration kOverloadedRetry = absl::Seconds(1);

}  // namespace

void Exchange::Forward(const config::Route& route) {
  const config::Upstream& upstream = snapshot_->upstream(route.upstream);
  upstream::Pool* pool = connection_->worker()->pools().Find(upstream.name);
  if (pool == nullptr) return Refuse(503, Reason::kUpstreamUnavailable);  // removed while a password was checked
  if (head().websocket && route.websocket) {
    if (const auto fault = websocket_.Ask(head(), pool->options().http2)) {
      return Refuse(fault->status, Reason::kMalformedRequest, nullptr, {}, fault->text);
    }
  }
  ForwardedRequest& forwarded = connection_->worker()->forwarded();
  const std::optional<ForwardedRequest::Refusal> refusal = forwarded.Make(
      {head(), snapshot_->strip, route, upstream.forwarded, *identity_, origin_.get(), connection_->remote(), RequestId(), websocket_,
       &connection_->worker()->random_ids()});
  if (refusal.has_value()) return Refuse(refusal->status, refusal->reason, nullptr, {}, refusal->detail);
  if (AccessIsLogged()) trace_id_ = forwarded.trace_id();
  forwarded_at_ = connection_->worker()->loop().now();
  request_ = pool->Start(forwarded.head(), this);
  state_ = State::kProxying;
  if (forwarded.limit() != absl::InfiniteDuration()) {
    loop::Loop& loop = connection_->worker()->loop();
    loop::DeadlineHandler* handler = this;
    route_deadline_ = std::make_unique<loop::Deadline>(&loop.deadlines(), handler);
    route_deadline_->Set(loop.now() + forwarded.limit());
  }
  if (head().expect_continue) connection_->codec().SendContinue(stream_);
  if (websocket_.asked()) return;  // whatever comes waits for the answer
  if (!head().has_body) {
    request_ended_ = true;
    return;
  }
  if (!held_body_.empty() || held_end_) {
    std::string body = std::move(held_body_);
    held_body_.clear();
    OnBody(body, held_end_);
  }
}

void Exchange::OnBody(absl::string_view data, bool end) {
  if (state_ == State::kDeciding || (state_ == State::kProxying && websocket_.asked() && !head_sent_)) {
    held_body_.append(data.data(), data.size());
    held_end_ = held_end_ || end;
    return;
  }
  if (state_ != State::kProxying || request_ == nullptr || request_ended_) {
    return connection_->codec().ConsumeBody(stream_, data.size());
  }
  connection_->worker()->metrics().received_bytes.Add(static_cast<int64_t>(data.size()));
  body_in_ += data.size();
  if (body_in_ > route_->max_body_bytes && !websocket_.switched()) {
    connection_->codec().ConsumeBody(stream_, data.size());
    return RefuseBody();
  }
  request_ended_ = end;
  if (end && client_trailers_ != nullptr && !websocket_.switched()) request_->SetTrailers(std::move(*client_trailers_));
  request_->SendBody(data, end);
  if (request_->writable()) {
    connection_->codec().ConsumeBody(stream_, data.size());
  } else {
    unconsumed_ += data.size();
  }
}

void Exchange::OnClientTrailers(http::FieldList&& trailers) {
  if (state_ == State::kDone) return;
  // An upstream may put trailers among the header fields: nothing in them may pass for an identity either (invariant 2).
  trailers.RemoveIf(
      [this](absl::string_view name, absl::string_view) { return !PassesAsTrailer(head(), snapshot_->strip, name); });
  if (!trailers.empty()) client_trailers_ = std::make_unique<http::FieldList>(std::move(trailers));
  OnBody({}, true);
}

void Exchange::OnWritable() {
  if (unconsumed_ == 0) return;
  size_t n = std::exchange(unconsumed_, 0);
  connection_->codec().ConsumeBody(stream_, n);
  connection_->Wake();
}

void Exchange::OnEarlyHints(http::FieldList&& fields) {
  if (state_ != State::kProxying || head_sent_ || websocket_.asked()) return;
  // What to fetch meanwhile, and nothing else: the route changes the fields of the answer, not of this.
  fields.RemoveIf([](absl::string_view name, absl::string_view) { return name != "link"; });
  if (fields.empty()) return;
  connection_->codec().SendEarlyHints(stream_, fields);
  connection_->Wake();
}

void Exchange::RefuseBody() {
  request_.reset();
  if (!head_sent_) return RefuseProxied(413, Reason::kLimitExceeded, "the request's body is over the route's max_body_bytes");
  connection_->codec().Reset(stream_, http::ErrorCode::kCancel);
  End();
  connection_->Finished(stream_);
  connection_->Wake();
}

void Exchange::OnHead(http::ResponseHead&& response) {
  upstream_time_ = connection_->worker()->loop().now() - forwarded_at_;
  if (websocket_.asked() && OnSwitch(std::move(response))) return;
  int status = response.status;
  if (route_->response_headers != nullptr) Change(*route_->response_headers, &response.fields);
  if (!connection_->codec().SendHead(stream_, response, response.end)) {
    request_.reset();
    return RefuseProxied(502, Reason::kUpstreamUnavailable, "the response has a field that cannot be passed on");
  }
  head_sent_ = true;
  Record(true, status, Reason::kNone);
  connection_->Wake();
}

bool Exchange::OnSwitch(http::ResponseHead&& response) {
  http::ServerCodec& codec = connection_->codec();
  absl::string_view wrong;
  switch (websocket_.Judge(&response, &wrong)) {
    case WebSocketHandshake::Outcome::kOrdinary:
      // What the client sent in good hope is thrown away.
      request_ended_ = true;
      codec.ConsumeBody(stream_, std::exchange(held_body_, {}).size());
      return false;
    case WebSocketHandshake::Outcome::kSwitch:
      if (codec.SendSwitch(stream_, response)) break;
      wrong = "the response has a field that cannot be passed on";
      [[fallthrough]];
    case WebSocketHandshake::Outcome::kWrong:
      request_.reset();
      RefuseProxied(502, Reason::kUpstreamUnavailable, wrong);
      return true;
  }
  head_sent_ = true;
  websocket_.Switched();
  route_deadline_.reset();
  metrics::WorkerMetrics& metrics = connection_->worker()->metrics();
  metrics.websockets_total.Add();
  metrics.websockets_open.Add();
  Record(true, head().version >= 20 ? 200 : 101, Reason::kNone);
  if (!held_body_.empty() || held_end_) OnBody(std::exchange(held_body_, {}), held_end_);
  connection_->Wake();
  return true;
}

void Exchange::OnHalfClosed() {
  half_closed_ = true;
  ResumeUpstream();
  connection_->Wake();
}

void Exchange::OnBody(absl::string_view bytes) {
  if (state_ != State::kProxying) return;
  connection_->worker()->metrics().sent_bytes.Add(static_cast<int64_t>(bytes.size()));
  body_out_ += bytes.size();
  size_t taken = held_response_.empty() ? connection_->codec().SendBody(stream_, bytes, false) : 0;
  if (taken < bytes.size()) {
    held_response_.append(bytes.data() + taken, bytes.size() - taken);
    if (!reading_paused_) {
      reading_paused_ = true;
      request_->PauseReading();
    }
  }
  connection_->Wake();
}

void Exchange::OnTrailers(http::FieldList&& trailers) {
  if (route_->response_headers != nullptr) Withhold(*route_->response_headers, &trailers);
  if (!trailers.empty()) held_trailers_ = std::make_unique<http::FieldList>(std::move(trailers));
}

void Exchange::OnComplete() {
  response_ended_ = true;
  ResumeUpstream();
  connection_->Wake();
}

void Exchange::OnClientWritable() {
  if (state_ == State::kProxying) ResumeUpstream();
}

void Exchange::ResumeUpstream() {
  if (!held_response_.empty()) {
    size_t taken = connection_->codec().SendBody(stream_, held_response_, false);
    held_response_.erase(0, taken);
    if (!held_response_.empty()) return;
  }
  if (half_closed_ && !response_ended_) {
    connection_->codec().SendBody(stream_, {}, true);
    return;
  }
  if (response_ended_) {
    // Whatever the client still sends is not wanted: the codec says so on the wire.
    if (held_trailers_ != nullptr) {
      connection_->codec().SendTrailers(stream_, *held_trailers_);
    } else {
      connection_->codec().SendBody(stream_, {}, true);
    }
    End();
    connection_->Finished(stream_);
    return;
  }
  if (reading_paused_) {
    reading_paused_ = false;
    request_->ResumeReading();
  }
}

void Exchange::OnError(upstream::ErrorKind kind, absl::string_view detail) {
  if (!head_sent_) {
    return RefuseProxied(upstream::StatusFor(kind), Reason::kUpstreamUnavailable,
                         absl::StrCat(upstream::ErrorKindName(kind), detail.empty() ? "" : ": ", detail),
                         kind == upstream::ErrorKind::kOverloaded ? kOverloadedRetry : absl::ZeroDuration());
  }
  // Half a response must not look whole.
  connection_->codec().Reset(stream_, http::ErrorCode::kInternalError);
  End();
  connection_->Finished(stream_);
  connection_->Wake();
}

void Exchange::OnRouteTimeout() {
  request_.reset();
  timed_out_ = true;
  if (!head_sent_) return RefuseProxied(504, Reason::kUpstreamUnavailable, "timeout: no answer within the request's time");
  connection_->codec().Reset(stream_, http::ErrorCode::kCancel);
  End();
  connection_->Finished(stream_);
  connection_->Wake();
}

void Exchange::RefuseProxied(int status, Reason reason, absl::string_view detail, absl::Duration retry_after) {
  Problem problem;
  problem.retry_after = retry_after;
  problem.deadline = timed_out_;
  problem.status = status;
  problem.request_id = RequestId();
  problem.grpc = IsGrpc(head());
  const http::Answer answer = ProblemAnswer(problem);
  SendAnswer(answer.head, answer.body);
  Record(false, status, reason, detail);
  End();
  connection_->Finished(stream_);
  connection_->Wake();
}

}  // namespace gatehouse::server
