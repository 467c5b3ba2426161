#include "gateway/server/exchange.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/authn/challenge.h"
#include "gateway/identity/claims.h"
#include "gateway/server/answers.h"
#include "gateway/server/connection.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {
namespace {

// When a request whose event could not be kept may come again: rings are emptied within milliseconds, lines to a control
// plane may need longer.
constexpr absl::Duration kAuditRetry = absl::Seconds(1);

// Why a policy did not hold, for the event.
std::string UnmetPolicy(const authn::Decision& decision, const authn::RequestFacts& facts) {
  return decision.policy->Unmet({*decision.identity, facts.address, facts.now});
}

}  // namespace

Exchange::Exchange(Connection* connection, http::StreamId stream, loop::Instant now)
    : connection_(connection),
      stream_(stream),
      begun_(now),
      snapshot_(connection->worker()->snapshot().get()) {}

Exchange::~Exchange() {
  if (websocket_.switched()) connection_->worker()->metrics().websockets_open.Add(-1);
  if (event_reserved_) connection_->worker()->recorder().Unreserve();
  connection_->codec().TakeBack(std::move(taken_));
}

bool Exchange::Start(http::RequestHead&& head) {
  head_ = &head;
  // Before anything looks at the request: nothing that claims an identity survives (invariant 2).
  head.fields().RemoveIf(
      [this](absl::string_view name, absl::string_view) { return snapshot_->strip.Removes(name); });

  if (connection_->edge().snapshot.get() != snapshot_) {  // the listener was removed, and its connections end
    Refuse(421, Reason::kMisdirected);
    return true;
  }
  listener_ = connection_->edge().listener;
  if (FindOrigin()) Decide();
  if (state_ == State::kDone) return true;
  pin_ = connection_->worker()->pin();
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
  CancelBasic();
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
    config::RouteMatch match = snapshot_->routes.Match(listener_->index, head().host(), head().path(), head().method());
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
      return Act(std::move(decision));
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
  return basic().Check(scheme);
}

BasicChecks& Exchange::basic() {
  BasicChecks::Request* request = this;
  if (basic_ == nullptr) basic_ = std::make_unique<BasicChecks>(connection_, request);
  return *basic_;
}

void Exchange::CancelBasic() {
  if (basic_ != nullptr) basic_->Cancel();
}

authn::SchemeResult Exchange::CheckCertificate(const config::Scheme& scheme) {
  const PeerRef& peer = connection_->peer();
  if (peer == nullptr) return authn::SchemeResult::NoResult(Reason::kNoCertificate);
  Worker& worker = *connection_->worker();
  const JudgementRef& known = worker.judge().Of(*peer, scheme, &connection_->verdicts());
  if (known->outcome == certs::Outcome::kValid) {
    connection_->NoteAccepted(scheme.epoch);
    return authn::SchemeResult::Success(known->identity);
  }
  JudgementRef judgement = known;
  if (judgement->outcome == certs::Outcome::kIndeterminate) {
    auto wait = std::find_if(waits_.begin(), waits_.end(), [&](const auto& w) { return w.first == scheme.index; });
    if (wait == waits_.end()) {
      wait = waits_.insert(wait, {scheme.index, std::make_unique<RevocationWait>(&worker.loop(), worker.desk(),
                                                                                [this] { Redecide(); })});
    }
    if (wait->second->Continue(*judgement, *scheme.certificate())) return authn::SchemeResult::Pending();
    judgement = worker.judge().WithoutAsking(*peer, scheme);
  }
  if (judgement->outcome != certs::Outcome::kValid) return authn::SchemeResult::Failure(judgement->reason);
  connection_->NoteAccepted(scheme.epoch);
  return authn::SchemeResult::Success(judgement->identity);
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

void Exchange::Act(authn::Decision&& decision) {
  identity_ = std::move(decision.identity);
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
  if (snapshot_ == worker.snapshot().get()) {
    connection_->codec().SendFixed(stream_, worker.fixed(*route_));
    return;
  }
  absl::StatusOr<std::shared_ptr<const http::FixedResponse>> response =
      WireForm(*route_->fixed_response, route_->response_headers.get());
  if (response.ok()) connection_->codec().SendFixed(stream_, *std::move(response));
}

void Exchange::SendAnswer(const http::ResponseHead& response, absl::string_view body) {
  connection_->codec().SendAnswer(stream_, response, body);
  body_out_ = head().method() == "HEAD" ? 0 : body.size();
}

void Exchange::SendOwn(http::ResponseHead&& response, absl::string_view body) {
  if (route_->response_headers != nullptr) Change(*route_->response_headers, &response.fields);
  response.content_length = body.size();
  SendAnswer(response, body);
  Record(true, response.status, Reason::kNone);
  Done();
}

void Exchange::OnClientReset() {
  if (state_ == State::kDone) return;
  // 499: the client went before an answer; nothing was decided against it.
  if (!recorded_) Record(identity_ != nullptr, 499, identity_ != nullptr ? Reason::kNone : Reason::kNoCredentials,
                         "the client went before it was answered");
  End();
  CancelBasic();
  request_.reset();
}

http::Answer Exchange::OnProtocolError(const http::ProtocolError& error) {
  Record(false, error.status, error.malformed ? Reason::kMalformedRequest : Reason::kLimitExceeded, error.text);
  http::Answer answer = ProblemAnswer(error, RequestId());
  body_out_ = answer.body.size();
  End();
  CancelBasic();
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
  problem.websocket_version = websocket_.other_version();
  if (reason == Reason::kAuditUnavailable) problem.retry_after = kAuditRetry;
  // A field of 8 KiB and more, or a repeated one, is not a wrong password but a malformed request (SEMANTICS 2).
  if (status == 401 && basic_ != nullptr && basic_->too_large()) problem.status = 400;
  const http::Answer answer = ProblemAnswer(problem);
  SendAnswer(answer.head, answer.body);
  if (decision != nullptr && basic_ != nullptr && detail.empty()) detail = basic_->DetailOf(decision->scheme);
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
  if (websocket_.asked() && (route == nullptr || !route->websocket)) return Withdrawal{};
  // Re-asks the schemes that admitted it: certificates anew, passwords by what the user store says of the user now, or the
  // service once its answer is used up.
  struct Source final : authn::SchemeSource {
    const config::Snapshot& snapshot;
    Exchange& exchange;
    Source(const config::Snapshot& s, Exchange& e) : snapshot(s), exchange(e) {}
    authn::SchemeResult Check(uint32_t index) override {
      const config::Scheme& scheme = snapshot.scheme(index);
      return scheme.is_certificate() ? exchange.RecheckCertificate(scheme) : exchange.basic().Recheck(scheme);
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
