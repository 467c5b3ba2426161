#include "gateway/server/basic_checks.h"

#include <optional>
#include <utility>
#include <variant>

#include "gateway/server/connection.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {

authn::SchemeResult BasicChecks::Check(const config::Scheme& scheme) {
  Question* check = nullptr;
  for (const std::unique_ptr<Question>& c : checks_) {
    if (c->scheme == scheme.index) check = c.get();
  }
  if (check == nullptr) {
    std::optional<absl::string_view> authorization = request_->head().fields().Find("authorization");
    if (!authorization) return authn::SchemeResult::NoResult(Reason::kNoCredentials);
    check = checks_.emplace_back(std::make_unique<Question>()).get();
    check->scheme = scheme.index;
    if (scheme.validator != nullptr) {
      AskService(check, scheme, *authorization, /*again=*/false);
    } else {
      AskChecker(check, scheme, *authorization);
    }
  }
  if (!check->done) return authn::SchemeResult::Pending();
  const credentials::CheckResult& result = check->result;
  too_large_ = too_large_ || result.too_large;
  if (!result.verified) {
    if (result.reason == Reason::kNoCredentials) return authn::SchemeResult::NoResult(result.reason);
    return authn::SchemeResult::Failure(result.reason, result.retry_after);
  }
  user_ = result.user;
  user_scheme_ = scheme.name;
  user_epoch_ = scheme.epoch;
  user_until_ = result.fresh_until;
  // One identity a user and connection: its claims are not made anew for each request.
  BasicMemory& memory = connection_->basic();
  if (memory.user != user_ || memory.epoch != scheme.epoch) {
    memory.user = user_;
    memory.epoch = scheme.epoch;
    memory.identity = identity::BasicIdentity(*user_, scheme.name, scheme.user_store_name);
  }
  return authn::SchemeResult::Success(memory.identity);
}

void BasicChecks::AskChecker(Question* check, const config::Scheme& scheme, absl::string_view authorization) {
  credentials::Checker::Answer answer = connection_->worker()->checker().Check(
      scheme.basic(), authorization, request_->client_key(), &connection_->basic().memo,
      [this, check](const credentials::CheckResult& result) {
        check->result = result;
        check->done = true;
        request_->OnChecked();
      });
  metrics::WorkerMetrics& metrics = connection_->worker()->metrics();
  if (auto* ticket = std::get_if<credentials::Checker::Ticket>(&answer)) {
    metrics.credential_cache_misses.Add();
    check->ticket = std::move(*ticket);
  } else {
    check->result = std::get<credentials::CheckResult>(std::move(answer));
    if (check->result.verified) metrics.credential_cache_hits.Add();
    check->done = true;
  }
}

void BasicChecks::AskService(Question* check, const config::Scheme& scheme, absl::string_view authorization, bool again) {
  Worker& worker = *connection_->worker();
  const std::string address = request_->client_host();
  delegate::Facts facts;
  facts.host = request_->head().host();
  facts.path = request_->head().path();
  facts.method = request_->head().method();
  facts.client_address = address;
  facts.listener = connection_->edge().listener->name;
  facts.route = request_->route().name;
  facts.request_id = request_->RequestId();
  if (scheme.validator->sent.Has(delegate::Fact::kCertificate) && worker.AcceptsCertificate(*connection_)) {
    facts.certificate_sha256 = HexLower(AsView(connection_->peer()->leaf));
  }
  const auto take = [check](const delegate::Result& result) {
    check->result = result;
    check->detail = result.detail;
    check->done = true;
  };
  auto done = [this, take, again](const delegate::Result& result) {
    take(result);
    if (!again) request_->OnChecked();
  };
  auto post = [loop = &worker.loop()](absl::AnyInvocable<void()> f) { loop->Post(std::move(f)); };
  delegate::Desk& desk = worker.validators();
  delegate::Desk::Answer answer =
      again ? desk.Recheck(scheme.validator, authorization, request_->client_key(), facts, post, done)
            : desk.Check(scheme.validator, scheme.basic()->throttle, authorization, request_->client_key(), facts, post,
                         done);
  if (auto* ticket = std::get_if<delegate::Desk::Ticket>(&answer)) {
    check->asked = std::move(*ticket);
  } else {
    take(std::get<delegate::Result>(answer));
  }
}

authn::SchemeResult BasicChecks::Recheck(const config::Scheme& scheme) {
  if (user_ == nullptr || user_scheme_ != scheme.name) return authn::SchemeResult::NoResult(Reason::kNoCredentials);
  const absl::Time now = connection_->worker()->clock().Now();
  if (scheme.validator == nullptr) {
    if (!credentials::StillAdmits(*scheme.basic(), *user_, now)) {
      return authn::SchemeResult::Failure(Reason::kTrustWithdrawn);
    }
  } else if (user_epoch_ != scheme.epoch || now >= user_until_) {
    if (again_ == nullptr || again_epoch_ != scheme.epoch) {
      again_ = std::make_unique<Question>();
      again_epoch_ = scheme.epoch;
      AskService(again_.get(), scheme, request_->head().fields().Find("authorization").value_or(""), /*again=*/true);
    }
    // Nobody is cut while the answer is on its way: it has a deadline.
    if (again_->done) {
      const std::unique_ptr<Question> answered = std::move(again_);
      if (!answered->result.verified) return authn::SchemeResult::Failure(Reason::kTrustWithdrawn);
      user_ = answered->result.user;
      user_epoch_ = scheme.epoch;
      user_until_ = answered->result.fresh_until;
    }
  }
  return authn::SchemeResult::Success(identity::BasicIdentity(*user_, scheme.name, scheme.user_store_name));
}

absl::string_view BasicChecks::DetailOf(uint32_t scheme) const {
  for (const std::unique_ptr<Question>& check : checks_) {
    if (check->scheme == scheme) return check->detail;
  }
  return {};
}

}  // namespace gatehouse::server
