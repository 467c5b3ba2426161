#include "gateway/server/exchange.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/authn/challenge.h"
#include "gateway/identity/claims.h"
#include "gateway/server/answers.h"
#include "gateway/server/connection.h"
#include "gateway/server/grpc_timeout.h"
#include "gateway/server/websocket.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {
namespace {

// When a request whose event could not be kept may come again: rings are emptied within milliseconds, lines to a control
// plane may need longer.
constexpr absl::Duration kAuditRetry = absl::Seconds(1);

// When a client may ask again whom an upstream has no room for.
constexpr absl::Duration kOverloadedRetry = absl::Seconds(1);

// Why a policy did not hold, for the event.
std::string UnmetPolicy(const authn::Decision& decision, const authn::RequestFacts& facts) {
  return decision.policy->Unmet({*decision.identity, facts.address, facts.now});
}

}  // namespace

Exchange::Exchange(Connection* connection, http::StreamId stream, loop::Instant now)
    : connection_(connection),
      stream_(stream),
      begun_(now),
      snapshot_(connection->worker()->snapshot()),
      basic_(connection, this) {}

Exchange::~Exchange() {
  if (switched_) connection_->worker()->metrics().websockets_open.Add(-1);
  if (event_reserved_) connection_->worker()->recorder().Unreserve();
}

bool Exchange::Start(http::RequestHead&& head) {
  head_ = &head;
  // Before anything looks at the request: nothing that claims an identity survives (invariant 2).
  head.fields().RemoveIf(
      [this](absl::string_view name, absl::string_view) { return snapshot_->strip.Removes(name); });

  if (connection_->edge().snapshot != snapshot_) {  // the listener was removed, and its connections end
    Refuse(421, Reason::kMisdirected);
    return true;
  }
  listener_ = connection_->edge().listener;
  if (FindOrigin()) Decide();
  if (state_ == State::kDone) return true;
  taken_ = std::move(head);
  head_ = &taken_;
  if (listener_->limits.request_timeout != absl::ZeroDuration()) {
    loop::DeadlineHandler* handler = this;
    deadline_ = std::make_unique<loop::Deadline>(&connection_->worker()->loop().deadlines(), handler);
    deadline_->Set(connection_->request_since() + listener_->limits.request_timeout);
  }
  return false;
}

void Exchange::OnDeadline(loop::Deadline* deadline) {
  if (state_ == State::kDone) return;
  if (deadline == route_deadline_.get()) return OnRouteTimeout();
  request_.reset();
  if (head_sent_) return OnError(upstream::ErrorKind::kStalled, {});
  const bool unsent = head().has_body && !(state_ == State::kDeciding ? held_end_ : request_ended_);
  basic_.Cancel();
  RefuseProxied(unsent && !head().websocket ? 408 : 504, Reason::kLimitExceeded, "the request took longer than request_timeout");
}

bool Exchange::FindOrigin() {
  const auto& trusted = listener_->trusted_proxies;
  if (trusted.empty() || !IsTrustedProxy(trusted, connection_->address())) return true;
  absl::StatusOr<ClientOrigin> origin = ReadOrigin(head().fields(), trusted, connection_->address());
  if (!origin.ok()) {
    Refuse(400, Reason::kMalformedRequest, nullptr, {}, origin.status().message());
    return false;
  }
  origin_ = std::make_unique<ClientOrigin>(*std::move(origin));
  return true;
}

bool Exchange::PassesListener() {
  if (listener_->verify_with == config::kNoScheme || connection_->peer() == nullptr) return true;
  // The handshake went by what was in memory; a verdict that needs asking, or changed since, is found here. Whatever the
  // route: it is not looked up before.
  authn::SchemeResult result = CheckCertificate(snapshot_->scheme(listener_->verify_with));
  switch (result.kind) {
    case authn::SchemeResult::Kind::kSuccess: return true;
    case authn::SchemeResult::Kind::kPending: return false;
    case authn::SchemeResult::Kind::kNoResult:
    case authn::SchemeResult::Kind::kFailure: break;
  }
  failed_scheme_ = listener_->verify_with;
  Refuse(401, result.reason);
  return false;
}

bool Exchange::FindRoute() {
  if (snapshot_->Misdirected(*listener_, connection_->server_name(), head().host())) {
    Refuse(421, Reason::kMisdirected);
  } else if (head().fields().Count("authorization") > 1) {
    Refuse(400, Reason::kMalformedRequest);
  } else {
    config::RouteMatch match = snapshot_->routes.Match(*listener_, head().host(), head().path(), head().method());
    route_ = match.route;
    if (match.method_miss) {
      Refuse(405, Reason::kMethodNotAllowed, nullptr, match.allow);
      return false;
    }
    if (route_ != nullptr) return true;
    Refuse(404, Reason::kNoRoute);
  }
  return false;
}

void Exchange::Decide() {
  if (!PassesListener() || (route_ == nullptr && !FindRoute())) return;
  if (connection_->worker()->age().too_old() && !route_->anonymous()) {
    return Refuse(503, Reason::kVerifierUnavailable, nullptr, {}, "the configuration is older than --max-snapshot-age");
  }
  authn::Decision decision = authn::Decide(route_->requirement, *this, FactsFor(route_->requirement));
  if (decision.kind != authn::Decision::Kind::kPending) {
    for (auto& [scheme, wait] : waits_) wait->Cancel();
  }
  switch (decision.kind) {
    case authn::Decision::Kind::kPending:
      return;
    case authn::Decision::Kind::kAllow:
      return Act(decision);
    case authn::Decision::Kind::kChallenge:
      return Refuse(401, decision.reason, &decision);
    case authn::Decision::Kind::kDeny:
      return Refuse(decision.status, decision.reason, &decision);
  }
}

authn::RequestFacts Exchange::FactsFor(const authn::Requirement& requirement) const {
  if (requirement.policies.empty()) return {};
  return {client().ip(), connection_->worker()->clock().Now()};
}

authn::SchemeResult Exchange::Check(uint32_t index) {
  const config::Scheme& scheme = snapshot_->scheme(index);
  if (scheme.is_certificate()) return CheckCertificate(scheme);
  authn::SchemeResult result = basic_.Check(scheme);
  if (result.kind == authn::SchemeResult::Kind::kSuccess) summary_ = connection_->basic().summary;
  return result;
}

authn::SchemeResult Exchange::CheckCertificate(const config::Scheme& scheme) {
  const PeerRef& peer = connection_->peer();
  if (peer == nullptr) return authn::SchemeResult::NoResult(Reason::kNoCertificate);
  Worker& worker = *connection_->worker();
  JudgementRef judgement = worker.judge().Of(*peer, scheme, &connection_->verdicts());
  if (judgement->outcome == certs::Outcome::kIndeterminate) {
    auto wait = std::find_if(waits_.begin(), waits_.end(), [&](const auto& w) { return w.first == scheme.index; });
    if (wait == waits_.end()) {
      wait = waits_.insert(wait, {scheme.index, std::make_unique<RevocationWait>(&worker.loop(), worker.desk(),
                                                                                [this] { Redecide(); })});
    }
    if (wait->second->Continue(*judgement, *scheme.certificate())) return authn::SchemeResult::Pending();
    judgement = worker.judge().WithoutAsking(*peer, scheme);
  }
  if (judgement->outcome == certs::Outcome::kValid) {
    connection_->NoteAccepted(scheme.epoch);
    summary_ = judgement->summary;
    return authn::SchemeResult::Success(judgement->identity);
  }
  return authn::SchemeResult::Failure(judgement->reason);
}

authn::SchemeResult Exchange::RecheckCertificate(const config::Scheme& scheme) {
  JudgementRef judgement;
  switch (connection_->StandingWith(scheme, &judgement)) {
    case Connection::Standing::kAccepted: return authn::SchemeResult::Success(judgement->identity);
    case Connection::Standing::kRefused: return authn::SchemeResult::Failure(Reason::kTrustWithdrawn);
    case Connection::Standing::kWaiting: break;
  }
  for (const identity::PartRef& part : identity_->parts()) {
    if (part->scheme == scheme.name) {
      return authn::SchemeResult::Success(std::make_shared<const identity::Identity>(std::vector{part}));
    }
  }
  return authn::SchemeResult::Failure(Reason::kRevocationUnknown);
}

void Exchange::Redecide() {
  if (state_ != State::kDeciding) return;
  Decide();
  if (state_ == State::kDone) connection_->Finished(stream_);
  connection_->Wake();
}

void Exchange::Act(const authn::Decision& decision) {
  identity_ = decision.identity;
  // Over HTTP/1.1 an upgrade may be left unheeded; 200 for an extended CONNECT would be a promise.
  if (head().websocket && head().version >= 20 && !route_->websocket) return Refuse(501, Reason::kMethodNotAllowed);
  if (head().content_length.value_or(0) > route_->max_body_bytes) return Refuse(413, Reason::kLimitExceeded);
  if (route_->events.refuse_on_loss) {
    event_reserved_ = connection_->worker()->ReserveEvent();
    if (!event_reserved_) return Refuse(503, Reason::kAuditUnavailable);
  }
  switch (route_->action) {
    case config::Action::kFixedResponse:
      SendFixed();
      Record(true, route_->fixed_response->status, Reason::kNone);
      return Done();
    case config::Action::kIdentityResponse: {
      http::ResponseHead response;
      response.status = 200;
      response.fields.Add("content-type", "application/json");
      response.fields.Add("cache-control", "no-store");
      return SendOwn(std::move(response), IdentityAnswer(*identity_, route_->identity_message));
    }
    case config::Action::kRedirect: {
      http::ResponseHead response;
      response.status = route_->redirect->status();
      response.fields.Add("location",
                          route_->redirect->Location(head().host(), head().path(), head().has_query, head().query()));
      return SendOwn(std::move(response), {});
    }
    case config::Action::kUpstream:
      return Forward(*route_);
  }
}

void Exchange::SendFixed() {
  body_out_ = head().method() == "HEAD" ? 0 : route_->fixed_response->body.size();
  // A request whose password took long may be answered under a snapshot that is no longer the worker's.
  const Worker& worker = *connection_->worker();
  if (snapshot_ == worker.snapshot()) {
    connection_->codec().SendFixed(stream_, worker.fixed(*route_));
    return;
  }
  absl::StatusOr<std::shared_ptr<const http::FixedResponse>> response =
      WireForm(*route_->fixed_response, route_->response_headers.get());
  if (response.ok()) connection_->codec().SendFixed(stream_, *std::move(response));
}

void Exchange::SendOwn(http::ResponseHead&& response, absl::string_view body) {
  http::ServerCodec& codec = connection_->codec();
  if (route_->response_headers != nullptr) Change(*route_->response_headers, &response.fields);
  response.content_length = body.size();
  codec.SendHead(stream_, response, body.empty());
  if (!body.empty()) codec.SendBody(stream_, body, true);
  body_out_ = head().method() == "HEAD" ? 0 : body.size();
  Record(true, response.status, Reason::kNone);
  Done();
}

void Exchange::Forward(const config::Route& route) {
  const config::Upstream& upstream = snapshot_->upstream(route.upstream);
  upstream::Pool* pool = connection_->worker()->pools().Find(upstream.name);
  if (pool == nullptr) return Refuse(503, Reason::kUpstreamUnavailable);  // removed while a password was checked
  if (head().websocket && route.websocket) {
    absl::string_view error;
    std::optional<std::string> key = AskWebSocket(head(), &error);
    if (!key.has_value()) return Refuse(400, Reason::kMalformedRequest, nullptr, {}, error);
    websocket_key_ = *std::move(key);
  }
  const http::FieldList& fields = head().fields();
  absl::Duration limit = route.timeout;
  const std::optional<absl::string_view> asked = IsGrpc(head()) ? fields.Find("grpc-timeout") : std::nullopt;
  if (asked.has_value()) {
    const std::optional<absl::Duration> of_client = ParseGrpcTimeout(*asked);
    if (!of_client.has_value()) return Refuse(400, Reason::kMalformedRequest, nullptr, {}, "grpc-timeout is malformed");
    limit = std::min(limit, *of_client);
  }
  http::FieldList out;
  out.Reserve(1024, fields.size() + 8);
  bool has_connection = fields.Has("connection");
  for (size_t i = 0; i < fields.size(); ++i) {
    http::FieldList::Field f = fields[i];
    if (f.name == "host" || f.name == "content-length" || f.name == "expect" || IsForwardedField(f.name)) continue;
    if (http::IsTraceField(f.name) || f.name == "x-request-id") continue;
    if (http::IsHopByHop(f.name)) continue;
    // What the client's Connection names goes before anything of ours comes (SEMANTICS 5).
    if (has_connection && fields.HasToken("connection", f.name)) continue;
    if (f.name == "authorization" && !route.keep_authorization) continue;
    if (f.name == "sec-websocket-key" && !websocket_key_.empty()) continue;
    if (asked.has_value() && f.name == "grpc-timeout") continue;
    out.Add(f.name, f.value);
  }
  if (!websocket_key_.empty()) out.Add("sec-websocket-key", websocket_key_);
  AddForwarded(upstream.forwarded, origin_.get(), connection_->host(), head().authority(), &out);
  trace_id_ = http::AddTrace(fields, &connection_->worker()->random_ids(), &out);
  out.Add("x-request-id", RequestId());
  // The shorter of both, as far as the upstream needs to know.
  if (asked.has_value()) out.Add("grpc-timeout", limit < route.timeout ? *asked : FormatGrpcTimeout(limit));
  if (route.injector != nullptr) {
    absl::Status status = route.injector->Inject(
        *identity_, [&out](absl::string_view name, absl::string_view value) { out.Add(name, value); });
    if (!status.ok()) return Refuse(502, Reason::kIdentityNotEncodable, nullptr, {}, status.message());
  }
  const config::Rewrite* rewrite = route.rewrite.get();
  std::string target = rewrite == nullptr ? std::string(head().path()) : rewrite->Path(head().path());
  if (head().has_query) absl::StrAppend(&target, "?", head().query());

  upstream::RequestHead request;
  request.method = head().method();
  request.target = target;
  request.authority = rewrite == nullptr || rewrite->host().empty() ? head().authority() : rewrite->host();
  request.fields = &out;
  request.accepts_trailers = fields.Has("te") && fields.HasToken("te", "trailers");
  if (!websocket_key_.empty()) {
    request.framing = upstream::Framing::kUpgrade;
  } else if (!head().has_body) {
    request.framing = head().content_length ? upstream::Framing::kLength : upstream::Framing::kNoBody;
  } else if (head().content_length) {
    request.framing = upstream::Framing::kLength;
    request.content_length = *head().content_length;
  } else {
    request.framing = upstream::Framing::kChunked;
  }
  forwarded_at_ = connection_->worker()->loop().now();
  request_ = pool->Start(request, this);
  state_ = State::kProxying;
  if (limit != absl::InfiniteDuration()) {
    loop::Loop& loop = connection_->worker()->loop();
    loop::DeadlineHandler* handler = this;
    route_deadline_ = std::make_unique<loop::Deadline>(&loop.deadlines(), handler);
    route_deadline_->Set(loop.now() + limit);
  }
  if (head().expect_continue) connection_->codec().SendContinue(stream_);
  if (!websocket_key_.empty()) return;  // whatever comes waits for the answer
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
  if (state_ == State::kDeciding || (state_ == State::kProxying && !websocket_key_.empty() && !head_sent_)) {
    held_body_.append(data.data(), data.size());
    held_end_ = held_end_ || end;
    return;
  }
  if (state_ != State::kProxying || request_ == nullptr || request_ended_) {
    return connection_->codec().ConsumeBody(stream_, data.size());
  }
  connection_->worker()->metrics().received_bytes.Add(static_cast<int64_t>(data.size()));
  body_in_ += data.size();
  if (body_in_ > route_->max_body_bytes && !switched_) {
    connection_->codec().ConsumeBody(stream_, data.size());
    return RefuseBody();
  }
  request_ended_ = end;
  request_->SendBody(data, end);
  if (request_->writable()) {
    connection_->codec().ConsumeBody(stream_, data.size());
  } else {
    unconsumed_ += data.size();
  }
}

void Exchange::OnClientTrailers() {
  // A request's trailers end here: no upstream needs them, and a field in them could pass for an identity.
  OnBody({}, true);
}

void Exchange::OnWritable() {
  if (unconsumed_ == 0) return;
  size_t n = std::exchange(unconsumed_, 0);
  connection_->codec().ConsumeBody(stream_, n);
  connection_->Wake();
}

void Exchange::OnEarlyHints(http::FieldList&& fields) {
  if (state_ != State::kProxying || head_sent_ || !websocket_key_.empty()) return;
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
  if (!websocket_key_.empty() && OnSwitch(std::move(response))) return;
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
  const bool http2 = head().version >= 20;
  absl::string_view wrong;
  if (response.status == 101) {
    if (!ProvesWebSocket(response.fields, websocket_key_)) {
      wrong = "the upstream's Sec-WebSocket-Accept does not prove that it speaks WebSocket";
    } else {
      // RFC 8441 5: HTTP/2 has no use for the proof.
      if (http2) response.fields.Remove("sec-websocket-accept");
      if (!codec.SendSwitch(stream_, response)) wrong = "the response has a field that cannot be passed on";
    }
  } else if (http2 && response.status < 300) {
    wrong = "the upstream did not switch to WebSocket";
  } else {
    // An ordinary answer. What the client sent in good hope is thrown away.
    request_ended_ = true;
    codec.ConsumeBody(stream_, std::exchange(held_body_, {}).size());
    return false;
  }
  if (!wrong.empty()) {
    request_.reset();
    RefuseProxied(502, Reason::kUpstreamUnavailable, wrong);
    return true;
  }
  head_sent_ = switched_ = true;
  route_deadline_.reset();
  metrics::WorkerMetrics& metrics = connection_->worker()->metrics();
  metrics.websockets_total.Add();
  metrics.websockets_open.Add();
  Record(true, http2 ? 200 : 101, Reason::kNone);
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
  has_trailers_ = !trailers.empty();
  held_trailers_ = std::move(trailers);
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
    if (has_trailers_) {
      connection_->codec().SendTrailers(stream_, held_trailers_);
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
  http::Answer answer = ProblemAnswer(problem);
  connection_->codec().SendHead(stream_, answer.head, answer.body.empty());
  if (!answer.body.empty()) connection_->codec().SendBody(stream_, answer.body, true);
  body_out_ = answer.body.size();
  Record(false, status, reason, detail);
  End();
  connection_->Finished(stream_);
  connection_->Wake();
}

void Exchange::OnClientReset() {
  if (state_ == State::kDone) return;
  // 499: the client went before an answer; nothing was decided against it.
  if (!recorded_) Record(identity_ != nullptr, 499, identity_ != nullptr ? Reason::kNone : Reason::kNoCredentials,
                         "the client went before it was answered");
  End();
  basic_.Cancel();
  request_.reset();
}

http::Answer Exchange::OnProtocolError(const http::ProtocolError& error) {
  Record(false, error.status, error.malformed ? Reason::kMalformedRequest : Reason::kLimitExceeded, error.text);
  http::Answer answer = ProblemAnswer(error, RequestId());
  body_out_ = answer.body.size();
  End();
  basic_.Cancel();
  request_.reset();
  return answer;
}

void Exchange::Refuse(int status, Reason reason, const authn::Decision* decision, absl::string_view allow,
                      absl::string_view detail) {
  Problem problem;
  problem.status = status;
  problem.request_id = RequestId();
  problem.allow = allow;
  problem.grpc = IsGrpc(head());
  std::vector<std::string> of_listener;  // which `verify_with` alone refuses before there is a route
  if (route_ != nullptr) {
    problem.challenges = &route_->challenges;
  } else if (status == 401) {
    of_listener.push_back(
        authn::Challenge(identity::PartKind::kCertificate, snapshot_->scheme(listener_->verify_with).name));
    problem.challenges = &of_listener;
  }
  if (decision != nullptr) {
    problem.retry_after = decision->retry_after;
    failed_scheme_ = decision->scheme;
    if (decision->policy != nullptr) {
      problem.message = decision->policy->public_message();
      identity_ = decision->identity;
    }
  }
  if (reason == Reason::kAuditUnavailable) problem.retry_after = kAuditRetry;
  // A field of 8 KiB and more, or a repeated one, is not a wrong password but a malformed request (SEMANTICS 2).
  if (status == 401 && basic_.too_large()) problem.status = 400;
  http::Answer answer = ProblemAnswer(problem);
  http::ServerCodec& codec = connection_->codec();
  codec.SendHead(stream_, answer.head, answer.body.empty());
  if (!answer.body.empty()) codec.SendBody(stream_, answer.body, true);
  body_out_ = answer.body.size();
  if (decision != nullptr && detail.empty()) detail = basic_.DetailOf(decision->scheme);
  if (decision == nullptr || decision->policy == nullptr) {
    Record(false, problem.status, reason, detail);
  } else {
    Record(false, problem.status, reason, UnmetPolicy(*decision, FactsFor(route_->requirement)));
  }
  Done();
}

void Exchange::Done() {
  // Body that came before the answer is thrown away; Connection does so with what still comes.
  if (!held_body_.empty()) connection_->codec().ConsumeBody(stream_, std::exchange(held_body_, {}).size());
  End();
}

std::optional<Withdrawal> Exchange::Readmit(const config::Snapshot& snapshot) {
  if (!connection_->PassesListener()) return Withdrawal{};
  const config::Route* route = snapshot.FindRoute(route_->name);
  // The permission to upgrade is part of what admitted it.
  if (!websocket_key_.empty() && (route == nullptr || !route->websocket)) return Withdrawal{};
  // Re-asks the schemes that admitted it: certificates anew, passwords by what the user store says of the user now, or the
  // service once its answer is used up.
  struct Source final : authn::SchemeSource {
    const config::Snapshot& snapshot;
    Exchange& exchange;
    Source(const config::Snapshot& s, Exchange& e) : snapshot(s), exchange(e) {}
    authn::SchemeResult Check(uint32_t index) override {
      const config::Scheme& scheme = snapshot.scheme(index);
      return scheme.is_certificate() ? exchange.RecheckCertificate(scheme) : exchange.basic_.Recheck(scheme);
    }
  } source(snapshot, *this);
  if (route != nullptr) {
    const authn::RequestFacts facts = FactsFor(route->requirement);
    const authn::Decision decision = authn::Decide(route->requirement, source, facts);
    if (decision.kind == authn::Decision::Kind::kAllow) return std::nullopt;
    if (decision.policy == nullptr) return Withdrawal{};
    return Withdrawal{DemandedBefore(*decision.policy) ? Reason::kPolicyNotMet : Reason::kTrustWithdrawn,
                      UnmetPolicy(decision, facts)};
  }
  // The route is gone; what admitted the stream must not be.
  for (const identity::PartRef& part : identity_->parts()) {
    const config::Scheme* scheme = snapshot.FindScheme(part->scheme);
    if (scheme == nullptr || source.Check(scheme->index).kind != authn::SchemeResult::Kind::kSuccess) return Withdrawal{};
  }
  return std::nullopt;
}

bool Exchange::DemandedBefore(const identity::Policy& policy) const {
  const auto& before = route_->requirement.policies;
  return std::any_of(before.begin(), before.end(), [&](const auto& p) { return p->epoch() == policy.epoch(); });
}

void Exchange::Cut(const Withdrawal& withdrawal) {
  if (state_ == State::kDone) return;
  if (!recorded_) Record(false, 0, withdrawal.reason, withdrawal.detail);
  End();
  request_.reset();
  connection_->codec().Reset(stream_, http::ErrorCode::kCancel);
  connection_->Finished(stream_);
  connection_->Wake();
}

}  // namespace gatehouse::server
