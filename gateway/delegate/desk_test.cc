#include "gateway/delegate/desk.h"

#include <map>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/delegate/fake_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::delegate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Basic(absl::string_view user, absl::string_view password) {
  return absl::StrCat("Basic ", absl::Base64Escape(absl::StrCat(user, ":", password)));
}

class DeskTest : public ::testing::Test {
 protected:
  DeskTest() {
    Desk::Options options;
    options.clock = &clock_;
    options.throttle = &throttle_;
    options.clients = [this](const Service&, const std::string& endpoint) {
      auto client = std::make_shared<FakeClient>();
      clients_[endpoint] = client;
      return client;
    };
    options.on_notice = [this](const std::string& text, bool failed) {
      notices_.push_back(absl::StrCat(failed ? "failed: " : "", text));
    };
    desk_.emplace(std::move(options));
    service_ = Make();
    desk_->Use({service_});
  }

  static std::shared_ptr<Service> Plain() {
    auto service = std::make_shared<Service>();
    service->scheme = "Own";
    service->endpoints = {"127.0.0.1:1"};
    service->plaintext = true;
    service->breaker_failures = 3;
    service->max_lifetime = absl::Minutes(5);
    for (Fact fact : {Fact::kHost, Fact::kRoute, Fact::kRequestId}) service->sent.Add(fact);
    return service;
  }
  ServiceRef Make() {
    auto service = Plain();
    service->version = VersionOf(*service);
    return service;
  }
  void Replace(const std::shared_ptr<Service>& service) {
    service->version = VersionOf(*service);
    service_ = service;
    desk_->Use({service_});
    desk_->KeepOnly({service_});
  }

  // Ask begins a request; its result comes at once, or when the loop turns.
  struct Request {
    std::optional<Result> result;
    Desk::Ticket ticket;
  };
  std::unique_ptr<Request> Ask(const std::string& authorization, const std::string& address = "10.0.0.1",
                               const std::string& route = "r", bool again = false) {
    auto request = std::make_unique<Request>();
    Facts facts;
    facts.host = "shop.example";
    facts.path = "/secret";
    facts.route = route;
    facts.request_id = request_id_;
    auto post = [this](absl::AnyInvocable<void()> f) { posted_.push_back(std::move(f)); };
    auto done = [request = request.get()](const Result& result) { request->result = result; };
    Desk::Answer answer = again ? desk_->Recheck(service_, authorization, address, facts, post, done)
                                : desk_->Check(service_, credentials::ThrottleOptions(), authorization, address, facts, post, done);
    if (auto* ticket = std::get_if<Desk::Ticket>(&answer)) {
      request->ticket = std::move(*ticket);
    } else {
      request->result = std::get<Result>(std::move(answer));
    }
    return request;
  }
  void Turn() {
    std::vector<absl::AnyInvocable<void()>> posted = std::move(posted_);
    posted_.clear();
    for (auto& f : posted) f();
  }
  FakeClient& service(const std::string& endpoint = "127.0.0.1:1") { return *clients_.at(endpoint); }
  // One request of a user that gets no answer.
  Result Unanswered(const std::string& user, absl::StatusCode code = absl::StatusCode::kDeadlineExceeded) {
    auto request = Ask(Basic(user, "x"));
    if (!request->result) {
      service().Answer(absl::Status(code, "the service's words"));
      Turn();
    }
    return *request->result;
  }

  FakeClock clock_;
  credentials::Throttle throttle_{1000, clock_};
  std::map<std::string, std::shared_ptr<FakeClient>> clients_;
  std::vector<std::string> notices_;
  std::vector<absl::AnyInvocable<void()>> posted_;
  std::string request_id_ = "id-1";
  ServiceRef service_;
  std::optional<Desk> desk_;
};

TEST_F(DeskTest, AsksTheServiceAndTellsWhatItSaid) {
  auto request = Ask(Basic("ann", "pa:ss"));
  ASSERT_EQ(service().asked.size(), 1u);
  const Question& question = service().asked.front().question;
  EXPECT_EQ(question.user, "ann");
  EXPECT_EQ(question.password.Reveal(), "pa:ss");
  EXPECT_EQ(question.scheme, "Own");
  EXPECT_EQ(question.host, "shop.example");
  EXPECT_EQ(question.request_id, "id-1");
  EXPECT_EQ(question.path, "") << "is not sent";
  EXPECT_EQ(service().asked.front().deadline, absl::Seconds(2));
  service().Allow(absl::Seconds(30));
  EXPECT_FALSE(request->result.has_value()) << "never inside the service's thread";
  Turn();
  ASSERT_TRUE(request->result.has_value());
  EXPECT_TRUE(request->result->verified);
  EXPECT_EQ(request->result->user->name, "ann");
  EXPECT_EQ(request->result->fresh_until, clock_.Now() + absl::Seconds(30));
}

TEST_F(DeskTest, RefusalsAreTheServicesAndNeverRemembered) {
  for (int i = 1; i <= 2; ++i) {
    auto request = Ask(Basic("ann", "wrong"));
    service().Deny(Verdict::kUnknownUser);
    Turn();
    EXPECT_EQ(request->result->reason, Reason::kUnknownUser);
    EXPECT_EQ(service().total, i);
  }
}

TEST_F(DeskTest, RemembersAnAllowForItsLifetimeAndNoLonger) {
  auto first = Ask(Basic("ann", "pw"));
  service().Allow(absl::Seconds(30));
  Turn();
  clock_.Advance(absl::Seconds(30) - absl::Nanoseconds(1));
  auto second = Ask(Basic("ann", "pw"));
  ASSERT_TRUE(second->result.has_value());
  EXPECT_TRUE(second->result->verified);
  EXPECT_EQ(second->result->user, first->result->user) << "one value, so that an identity is made once";
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_FALSE(Ask(Basic("ann", "pw"))->result.has_value());
  EXPECT_EQ(service().total, 2);
  EXPECT_EQ(desk_->memory_hits(), 1u);
}

TEST_F(DeskTest, MaxLifetimeCapsWhatTheServiceSays) {
  auto request = Ask(Basic("ann", "pw"));
  service().Allow(absl::Hours(1000));
  Turn();
  EXPECT_EQ(request->result->fresh_until, clock_.Now() + absl::Minutes(5));
  clock_.Advance(absl::Minutes(5));
  EXPECT_FALSE(Ask(Basic("ann", "pw"))->result.has_value());
}

TEST_F(DeskTest, WithoutALifetimeTheAnswerIsForThisRequestAlone) {
  auto request = Ask(Basic("ann", "pw"));
  service().Allow();
  Turn();
  EXPECT_TRUE(request->result->verified);
  EXPECT_EQ(request->result->fresh_until, clock_.Now() + absl::Minutes(5)) << "as long as it runs";
  EXPECT_FALSE(Ask(Basic("ann", "pw"))->result.has_value());
  EXPECT_EQ(desk_->sizes().answers, 0u);
}

TEST_F(DeskTest, AClockThatIsSetBackMakesNoAnswerLastLonger) {
  auto request = Ask(Basic("ann", "pw"));
  service().Allow(absl::Seconds(30));
  Turn();
  clock_.Advance(-absl::Hours(1));
  EXPECT_FALSE(Ask(Basic("ann", "pw"))->result.has_value());
}

TEST_F(DeskTest, AnAnswerIsForRequestsThatAreAlikeInAllThatTheServiceWasTold) {
  auto request = Ask(Basic("ann", "pw"), "10.0.0.1", "r");
  service().Allow(absl::Minutes(1));
  Turn();
  request_id_ = "id-2";
  EXPECT_TRUE(Ask(Basic("ann", "pw"), "10.9.9.9", "r")->result.has_value()) << "the address is not sent";
  EXPECT_FALSE(Ask(Basic("ann", "pw"), "10.0.0.1", "other")->result.has_value());
  EXPECT_FALSE(Ask(Basic("ann", "pw2"), "10.0.0.1", "r")->result.has_value());
  EXPECT_FALSE(Ask(Basic("bob", "pw"), "10.0.0.1", "r")->result.has_value());
}

TEST_F(DeskTest, AChangedServiceForgetsWhatTheOneBeforeSaid) {
  auto request = Ask(Basic("ann", "pw"));
  service().Allow(absl::Minutes(1));
  Turn();
  auto changed = Plain();
  changed->server_name = "other.example";
  Replace(changed);
  EXPECT_FALSE(Ask(Basic("ann", "pw"))->result.has_value());
  EXPECT_EQ(service().total, 1) << "of the new client";
}

TEST_F(DeskTest, IdenticalCredentialsUnderWayAreAskedAboutOnce) {
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 50; ++i) requests.push_back(Ask(Basic("ann", "pw")));
  EXPECT_EQ(service().total, 1);
  requests[7]->ticket = {};  // one gives up
  service().Allow();
  Turn();
  for (size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(requests[i]->result.has_value(), i != 7) << i;
}

TEST_F(DeskTest, ACallIsNotSharedBetweenAddresses) {
  auto here = Ask(Basic("ann", "pw"), "10.0.0.1"), there = Ask(Basic("ann", "pw"), "10.0.0.2");
  EXPECT_EQ(service().total, 2);
}

TEST_F(DeskTest, ADroppedTicketIsNeverCalledAndItsAnswerStillCounts) {
  auto request = Ask(Basic("ann", "pw"));
  service().Allow(absl::Minutes(1));
  request->ticket = {};
  Turn();
  EXPECT_FALSE(request->result.has_value());
  EXPECT_TRUE(Ask(Basic("ann", "pw"))->result.has_value());
}

TEST_F(DeskTest, GuessesAreThrottledForUnknownUsersAlike) {
  for (Verdict verdict : {Verdict::kWrongPassword, Verdict::kUnknownUser}) {
    const std::string user = absl::StrCat("user-", static_cast<int>(verdict));
    std::optional<Result> last;
    for (int i = 0; i < 7; ++i) {
      auto request = Ask(Basic(user, absl::StrCat("guess", i)));
      if (!request->result) {
        service().Deny(verdict);
        Turn();
      }
      last = request->result;
    }
    EXPECT_EQ(last->reason, Reason::kLockedOut);
    EXPECT_GT(last->retry_after, absl::ZeroDuration());
  }
}

TEST_F(DeskTest, WhatIsNotAnsweredDoesNotCountAsAGuess) {
  auto service = Plain();
  service->breaker_failures = 1000;
  Replace(service);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Unanswered("ann").reason, Reason::kVerifierUnavailable);
}

TEST_F(DeskTest, AnEmptyPasswordIsWrongWithoutAQuestion) {
  EXPECT_EQ(Ask(Basic("ann", ""))->result->reason, Reason::kWrongPassword);
  EXPECT_EQ(service().total, 0);
}

TEST_F(DeskTest, WhatIsNoBasicFieldIsNotSentAnywhere) {
  EXPECT_EQ(Ask("")->result->reason, Reason::kNoCredentials);
  EXPECT_EQ(Ask("Bearer abc")->result->reason, Reason::kNoCredentials);
  EXPECT_EQ(Ask("Basic !!!")->result->reason, Reason::kMalformedCredentials);
  EXPECT_TRUE(Ask(std::string(9000, 'x'))->result->too_large);
  EXPECT_EQ(service().total, 0);
}

TEST_F(DeskTest, NoAnswerRefusesAndSaysNothingOfWhatTheServiceWrote) {
  const Result result = Unanswered("ann", absl::StatusCode::kInternal);
  EXPECT_FALSE(result.verified);
  EXPECT_EQ(result.reason, Reason::kVerifierUnavailable);
  EXPECT_EQ(result.retry_after, absl::Seconds(1));
  EXPECT_EQ(result.detail, "127.0.0.1:1: INTERNAL");
}

TEST_F(DeskTest, AnAnswerThatCannotBeBelievedRefuses) {
  auto request = Ask(Basic("ann", "pw"));
  Reply reply;
  reply.verdict = Verdict::kAllow;
  reply.user = "root";
  reply.lifetime = absl::Minutes(1);
  service().Answer(reply);
  Turn();
  EXPECT_EQ(request->result->reason, Reason::kVerifierUnavailable);
  EXPECT_EQ(request->result->user, nullptr);
  EXPECT_FALSE(Ask(Basic("ann", "pw"))->result.has_value()) << "and is not remembered";
  EXPECT_EQ(desk_->calls(Desk::Outcome::kMalformed), 1u);
}

TEST_F(DeskTest, TheBreakerOpensTellsAndAsksAgainLater) {
  for (const char* user : {"a", "b", "c"}) Unanswered(user);
  EXPECT_THAT(notices_, ElementsAre(HasSubstr("failed: schemes[\"Own\"].validator: 127.0.0.1:1 does not answer")));
  EXPECT_EQ(desk_->sizes().open_breakers, 1u);
  const int before = service().total;
  auto refused = Ask(Basic("ann", "pw"));
  ASSERT_TRUE(refused->result.has_value()) << "at once";
  EXPECT_EQ(refused->result->reason, Reason::kVerifierUnavailable);
  EXPECT_EQ(refused->result->retry_after, absl::Seconds(5));
  EXPECT_EQ(service().total, before);

  clock_.Advance(absl::Seconds(5));
  auto probe = Ask(Basic("ann", "pw"));
  EXPECT_FALSE(probe->result.has_value());
  EXPECT_TRUE(Ask(Basic("bob", "pw"))->result.has_value()) << "only one probes";
  service().Allow();
  Turn();
  EXPECT_TRUE(probe->result->verified);
  EXPECT_EQ(notices_.back(), "schemes[\"Own\"].validator: 127.0.0.1:1 answers again");
  EXPECT_EQ(desk_->sizes().open_breakers, 0u);
  EXPECT_EQ(desk_->breakers_opened(), 1u);
}

TEST_F(DeskTest, AnOpenBreakerDoesNotTakeAwayWhatIsRemembered) {
  auto request = Ask(Basic("ann", "pw"));
  service().Allow(absl::Minutes(1));
  Turn();
  for (const char* user : {"a", "b", "c"}) Unanswered(user);
  auto known = Ask(Basic("ann", "pw"));
  ASSERT_TRUE(known->result.has_value());
  EXPECT_TRUE(known->result->verified);
}

TEST_F(DeskTest, AUserNameThatUpsetsTheServiceDoesNotTakeItFromOthers) {
  for (int i = 0; i < 10; ++i) Unanswered(absl::StrCat("evil", i), absl::StatusCode::kUnknown);
  EXPECT_EQ(desk_->sizes().open_breakers, 0u);
  EXPECT_THAT(notices_, IsEmpty());
}

TEST_F(DeskTest, WhoCannotBeReachedIsNotWaitedFor) {
  service().reachable = false;
  auto request = Ask(Basic("ann", "pw"));
  ASSERT_TRUE(request->result.has_value());
  EXPECT_EQ(request->result->reason, Reason::kVerifierUnavailable);
  EXPECT_EQ(request->result->detail, "127.0.0.1:1: cannot be reached");
  Ask(Basic("ann", "pw")), Ask(Basic("ann", "pw"));
  EXPECT_EQ(notices_.size(), 1u);
  clock_.Advance(absl::Seconds(5));
  EXPECT_FALSE(Ask(Basic("ann", "pw"))->result.has_value()) << "the probe finds out in any case";
}

TEST_F(DeskTest, TheNextEndpointIsAskedWhenOneIsOutOfReachOrOpen) {
  auto service_of_two = Plain();
  service_of_two->endpoints = {"127.0.0.1:1", "127.0.0.1:2"};
  Replace(service_of_two);
  service("127.0.0.1:1").reachable = false;
  for (int i = 1; i <= 5; ++i) {
    auto request = Ask(Basic(absl::StrCat("u", i), "pw"));
    ASSERT_EQ(service("127.0.0.1:2").asked.size(), 1u);
    service("127.0.0.1:2").Allow();
    Turn();
    EXPECT_TRUE(request->result->verified);
  }
  EXPECT_EQ(desk_->sizes().open_breakers, 1u);
  clock_.Advance(absl::Seconds(5));
  auto request = Ask(Basic("ann", "pw"));
  EXPECT_EQ(service("127.0.0.1:2").asked.size(), 1u) << "nobody is made to probe what cannot be reached";
  service("127.0.0.1:1").reachable = true;
  clock_.Advance(absl::Seconds(5));
  auto probe = Ask(Basic("bob", "pw"));
  EXPECT_EQ(service("127.0.0.1:1").asked.size(), 1u);
}

TEST_F(DeskTest, MoreThanSoManyCallsAtOnceAreRefused) {
  auto few = Plain();
  few->max_concurrent_calls = 2;
  Replace(few);
  auto a = Ask(Basic("a", "pw")), b = Ask(Basic("b", "pw")), c = Ask(Basic("c", "pw"));
  ASSERT_TRUE(c->result.has_value());
  EXPECT_EQ(c->result->reason, Reason::kVerifierOverloaded);
  EXPECT_EQ(c->result->retry_after, absl::Seconds(1));
  service().Allow();
  EXPECT_FALSE(Ask(Basic("c", "pw"))->result.has_value());
}

TEST_F(DeskTest, WhoeverAsksMuchLeavesCallsToOthers) {
  auto eight = Plain();
  eight->max_concurrent_calls = 8;
  Replace(eight);
  std::vector<std::unique_ptr<Request>> guesses;
  for (int i = 0; i < 10; ++i) guesses.push_back(Ask(Basic(absl::StrCat("guess", i), "pw"), "10.6.6.6"));
  EXPECT_EQ(guesses.back()->result->reason, Reason::kVerifierOverloaded);
  EXPECT_EQ(service().asked.size(), 6u);
  auto alice = Ask(Basic("alice", "pw")), bob = Ask(Basic("bob", "pw"), "10.0.0.2");
  EXPECT_FALSE(alice->result.has_value());
  EXPECT_FALSE(bob->result.has_value());
  EXPECT_EQ(Ask(Basic("carol", "pw"), "10.0.0.3")->result->reason, Reason::kVerifierOverloaded) << "eight are under way";
  while (!service().asked.empty()) service().Allow();
  for (int i = 0; i < 6; ++i) guesses[static_cast<size_t>(i)] = Ask(Basic(absl::StrCat("again", i), "pw"), "10.6.6.6");
  EXPECT_EQ(service().asked.size(), 6u) << "what has ended counts no more";
}

TEST_F(DeskTest, AServiceThatIsNotInUseRefuses) {
  const ServiceRef old = service_;
  auto changed = Plain();
  changed->endpoints = {"127.0.0.1:9"};
  Replace(changed);
  service_ = old;
  EXPECT_EQ(Ask(Basic("ann", "pw"))->result->reason, Reason::kVerifierUnavailable);
}

TEST_F(DeskTest, AServiceThatGoesStillAnswersWhomItWasAskedAbout) {
  auto request = Ask(Basic("ann", "pw"));
  FakeClient& old = service();
  auto changed = Plain();
  changed->endpoints = {"127.0.0.1:9"};
  Replace(changed);
  old.Allow();
  Turn();
  EXPECT_TRUE(request->result->verified);
}

TEST_F(DeskTest, AStreamThatIsAskedAboutAgainIsNoGuess) {
  for (int i = 0; i < 7; ++i) {
    auto guess = Ask(Basic("ann", absl::StrCat("guess", i)));
    if (guess->result) continue;
    service().Deny();
    Turn();
  }
  EXPECT_EQ(Ask(Basic("ann", "pw"))->result->reason, Reason::kLockedOut);
  auto again = Ask(Basic("ann", "pw"), "10.0.0.1", "r", /*again=*/true);
  ASSERT_FALSE(again->result.has_value());
  service().Allow();
  Turn();
  EXPECT_TRUE(again->result->verified);
}

TEST_F(DeskTest, ItsEndEndsWhatIsUnderWay) {
  auto request = Ask(Basic("ann", "pw"));
  desk_.reset();
  Turn();
  ASSERT_TRUE(request->result.has_value());
  EXPECT_EQ(request->result->reason, Reason::kVerifierUnavailable);
}

TEST_F(DeskTest, SaysWhomItWouldAsk) {
  EXPECT_EQ(desk_->Endpoints(*service_).at(0).text, "closed");
  for (const char* user : {"a", "b", "c"}) Unanswered(user);
  const Desk::EndpointState open = desk_->Endpoints(*service_).at(0);
  EXPECT_FALSE(open.asked);
  EXPECT_EQ(open.text, "open for 5s more");
}

TEST_F(DeskTest, ForgetsTheLeastRecentlyUsedWhenItIsFull) {
  Desk::Options options;
  options.clock = &clock_;
  options.throttle = &throttle_;
  options.capacity = 2;
  options.clients = [this](const Service&, const std::string& endpoint) {
    return clients_[endpoint] = std::make_shared<FakeClient>();
  };
  desk_.emplace(std::move(options));
  desk_->Use({service_});
  for (const char* user : {"a", "b", "c"}) {
    auto request = Ask(Basic(user, "pw"));
    service().Allow(absl::Minutes(1));
    Turn();
  }
  EXPECT_EQ(desk_->sizes().answers, 2u);
}

}  // namespace
}  // namespace gatehouse::delegate
