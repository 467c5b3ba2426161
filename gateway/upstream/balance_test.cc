// Which endpoint a request goes to: balance, health, ejection, retries, limits.
#include <map>
#include <thread>

#include "gateway/upstream/upstream_fixture.h"
#include "gmock/gmock.h"

namespace gatehouse::upstream {
namespace {

constexpr char kOk[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
constexpr char kBusy[] = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";

class BalanceTest : public UpstreamFixture {
 protected:
  ~BalanceTest() override { pool_.reset(); }

  // Endpoints of one upstream: places_[i] is options_.endpoints[i].
  void Have(size_t n) {
    options_.endpoints.clear();
    for (size_t i = 0; i < n; ++i) {
      places_.push_back(std::make_unique<FakeUpstream>());
      options_.endpoints.push_back(std::make_shared<Endpoint>(Endpoint::Options{
          .upstream = "app",
          .configured = places_[i]->address().ToString(),
          .address = places_[i]->address(),
          .on_change = [this](const EndpointChange& change) { changes_.push_back(change); }}));
    }
  }
  // The place that takes the next connection, and the connection.
  std::pair<size_t, std::unique_ptr<Peer>> AcceptAnywhere() {
    std::pair<size_t, std::unique_ptr<Peer>> found;
    EXPECT_TRUE(Until([&] {
      for (size_t i = 0; i < places_.size(); ++i) {
        if (places_[i]->listening() && (found.second = places_[i]->TryAccept()) != nullptr) {
          found.first = i;
          return true;
        }
      }
      return false;
    }));
    return found;
  }
  bool NobodyIsAsked() {
    Turn();
    for (auto& place : places_) {
      if (place->listening() && place->TryAccept() != nullptr) return false;
    }
    return true;
  }
  // An exchange that is answered with `wire` by whoever gets it, and then closed; says who that was.
  size_t Exchange(absl::string_view wire, Answer* answer) {
    auto request = Start(answer);
    auto [place, peer] = AcceptAnywhere();
    EXPECT_TRUE(Receives(*peer, "\r\n\r\n"));
    if (wire.empty()) {
      peer->Reset();
    } else {
      peer->Send(wire);
    }
    EXPECT_TRUE(Ends(*answer));
    peer->Close();
    EXPECT_TRUE(Until([&] { return pool_->stats().open_connections.value() == 0; }));
    return place;
  }
  size_t Exchange(absl::string_view wire) {
    Answer answer;
    return Exchange(wire, &answer);
  }
  int64_t Failures(size_t i) { return options_.endpoints[i]->worker(0).failures.value(); }

  std::vector<std::unique_ptr<FakeUpstream>> places_;
  std::vector<EndpointChange> changes_;
};

TEST_F(BalanceTest, RoundRobinGivesEachEndpointTheSame) {
  Have(3);
  std::map<size_t, int> got;
  for (int i = 0; i < 9; ++i) ++got[Exchange(kOk)];
  EXPECT_EQ(got, (std::map<size_t, int>{{0, 3}, {1, 3}, {2, 3}}));
}

TEST_F(BalanceTest, LeastRequestPrefersTheEndpointThatIsFree) {
  Have(2);
  options_.balance = Balance::kLeastRequest;
  Answer first;
  auto running = Start(&first);
  auto [busy, peer] = AcceptAnywhere();
  for (int i = 0; i < 8; ++i) {
    Answer answer;
    auto request = Start(&answer);
    auto [place, other] = AcceptAnywhere();
    EXPECT_NE(place, busy);
    ASSERT_TRUE(Receives(*other, "\r\n\r\n"));
    other->Send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    ASSERT_TRUE(Ends(answer));
  }
}

TEST_F(BalanceTest, LeastRequestUsesAllEndpoints) {
  Have(4);
  options_.balance = Balance::kLeastRequest;
  std::map<size_t, int> got;
  for (int i = 0; i < 64; ++i) ++got[Exchange(kOk)];
  EXPECT_EQ(got.size(), 4u);
}

TEST_F(BalanceTest, AnUnhealthyEndpointIsPassedOverUntilItIsWell) {
  Have(2);
  options_.endpoints[0]->SetHealthy(false, "no answer");
  EXPECT_EQ(options_.endpoints[0]->report().state, EndpointState::kUnhealthy);
  EXPECT_EQ(options_.endpoints[0]->report().detail, "no answer");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Exchange(kOk), 1u);
  options_.endpoints[0]->SetHealthy(true, "well");
  std::map<size_t, int> got;
  for (int i = 0; i < 4; ++i) ++got[Exchange(kOk)];
  EXPECT_EQ(got[0], 2);
}

TEST_F(BalanceTest, WhenAllAreUnhealthyNobodyIsAsked) {
  Have(2);
  for (const EndpointRef& endpoint : options_.endpoints) endpoint->SetHealthy(false, "no answer");
  Answer answer;
  auto request = Start(&answer);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kNoEndpoint);
  EXPECT_EQ(answer.detail, "no endpoint is healthy");
  EXPECT_TRUE(NobodyIsAsked());
}

TEST_F(BalanceTest, FailuresInARowEjectAnEndpointAndItsRestEnds) {
  Have(2);
  options_.ejection.consecutive_failures = 2;
  MakePool();
  for (int i = 0; i < 20 && changes_.empty(); ++i) Exchange(kBusy);
  ASSERT_EQ(changes_.size(), 1u);
  const size_t out = changes_[0].endpoint == options_.endpoints[0]->text() ? 0 : 1;
  EXPECT_FALSE(changes_[0].in_service);
  EXPECT_TRUE(absl::StrContains(changes_[0].detail, "answered 503")) << changes_[0].detail;
  EXPECT_EQ(options_.endpoints[out]->report().state, EndpointState::kEjected);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Exchange(kBusy), 1 - out) << "the last one is never ejected";
  EXPECT_EQ(pool_->stats().ejections.value(), 1);

  Pass(options_.ejection.rest + absl::Seconds(1));
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_TRUE(changes_[1].in_service);
  EXPECT_EQ(options_.endpoints[out]->report().state, EndpointState::kHealthy);
}

TEST_F(BalanceTest, AnEndpointThatComesBackIsEjectedByItsFirstFailureForLonger) {
  Have(2);
  options_.ejection.consecutive_failures = 3;
  MakePool();
  Site& site = *pool_->sites()[0];
  // The other one answers well, so that it is never the one that goes.
  const auto turn = [&](const char* of_first) {
    for (int i = 0; i < 2; ++i) {
      Answer answer;
      auto request = Start(&answer);
      auto [place, peer] = AcceptAnywhere();
      ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
      peer->Send(place == 0 ? of_first : kOk);
      ASSERT_TRUE(Ends(answer));
      peer->Close();
      ASSERT_TRUE(Until([&] { return pool_->stats().open_connections.value() == 0; }));
    }
  };
  for (int i = 0; i < 3; ++i) turn(kBusy);
  ASSERT_TRUE(site.ejected());
  EXPECT_EQ(site.rest, options_.ejection.rest);
  Pass(site.rest + absl::Seconds(1));
  ASSERT_FALSE(site.ejected());
  turn(kBusy);
  ASSERT_TRUE(site.ejected());
  EXPECT_EQ(site.rest, 2 * options_.ejection.rest);
  Pass(site.rest + absl::Seconds(1));
  turn(kOk);
  turn(kBusy);
  EXPECT_FALSE(site.ejected()) << "a good answer starts the count anew";
}

TEST_F(BalanceTest, NoMoreThanTheShareIsEjected) {
  Have(4);
  options_.ejection.consecutive_failures = 1;
  options_.ejection.max_percent = 50;
  for (int i = 0; i < 12; ++i) Exchange(kBusy);
  EXPECT_EQ(pool_->stats().ejections.value(), 2);
}

TEST_F(BalanceTest, OneMayAlwaysBeEjectedWhileAnotherIsThere) {
  Have(2);
  options_.ejection.consecutive_failures = 1;
  options_.ejection.max_percent = 1;
  for (int i = 0; i < 4; ++i) Exchange(kBusy);
  EXPECT_EQ(pool_->stats().ejections.value(), 1);
}

TEST_F(BalanceTest, TheOnlyEndpointIsNeverEjected) {
  Have(1);
  options_.ejection.consecutive_failures = 1;
  for (int i = 0; i < 4; ++i) Exchange(kBusy);
  EXPECT_EQ(pool_->stats().ejections.value(), 0);
  EXPECT_EQ(Failures(0), 4);
}

TEST_F(BalanceTest, EjectionThatIsOffEjectsNobody) {
  Have(2);
  options_.ejection.consecutive_failures = 0;
  for (int i = 0; i < 12; ++i) Exchange(kBusy);
  EXPECT_EQ(pool_->stats().ejections.value(), 0);
}

TEST_F(BalanceTest, EjectedOnesAreUsedWhenAllOthersAreUnhealthy) {
  Have(2);
  options_.ejection.consecutive_failures = 1;
  const size_t out = Exchange(kBusy);
  options_.endpoints[1 - out]->SetHealthy(false, "no answer");
  EXPECT_EQ(Exchange(kOk), out);
}

TEST_F(BalanceTest, OtherFailuresThanBadGatewaysDoNotCount) {
  Have(1);
  Exchange("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n");
  Exchange("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n");
  EXPECT_EQ(Failures(0), 0);
  Exchange("");
  EXPECT_EQ(Failures(0), 1);
}

TEST_F(BalanceTest, ARefusedRequestGoesToAnotherEndpointEvenAPost) {
  Have(2);
  places_[0]->StopListening();
  for (int i = 0; i < 6; ++i) {
    Answer answer;
    auto request = Start(&answer, "POST", Framing::kLength, 2);
    request->SendBody("hi", true);
    auto [place, peer] = AcceptAnywhere();
    EXPECT_EQ(place, 1u);
    ASSERT_TRUE(Receives(*peer, "\r\n\r\nhi"));
    peer->Send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    ASSERT_TRUE(Ends(answer));
    EXPECT_EQ(answer.completions, 1) << answer.detail;
  }
}

TEST_F(BalanceTest, WithOneAttemptNothingIsTriedAgain) {
  Have(2);
  options_.retries.attempts = 1;
  places_[0]->StopListening();
  int failed = 0;
  for (int i = 0; i < 2; ++i) {
    Answer answer;
    auto request = Start(&answer);
    std::unique_ptr<Peer> peer;
    ASSERT_TRUE(Until([&] { return answer.ended() || (peer = places_[1]->TryAccept()) != nullptr; }));
    if (answer.ended()) {
      EXPECT_EQ(answer.error, ErrorKind::kConnectFailed);
      ++failed;
    }
  }
  EXPECT_EQ(failed, 1);
}

TEST_F(BalanceTest, AnIdempotentRequestThatBrokeOffGoesToAnotherEndpointWhenAskedFor) {
  Have(2);
  options_.retries.idempotent = true;
  Answer answer;
  auto request = Start(&answer);
  auto [first, peer] = AcceptAnywhere();
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Reset();
  auto [second, other] = AcceptAnywhere();
  EXPECT_NE(first, second);
  ASSERT_TRUE(Receives(*other, "GET /x HTTP/1.1\r\nhost: app.test\r\n\r\n"));
  other->Send(kOk);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.body, "ok");
  EXPECT_EQ(pool_->stats().retries.value(), 1);
}

TEST_F(BalanceTest, ATimeoutBeforeTheHeadIsTriedElsewhereToo) {
  Have(2);
  options_.retries.idempotent = true;
  Answer answer;
  auto request = Start(&answer);
  auto [first, peer] = AcceptAnywhere();
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  Pass(options_.response_timeout + absl::Seconds(1));
  auto [second, other] = AcceptAnywhere();
  EXPECT_NE(first, second);
  ASSERT_TRUE(Receives(*other, "\r\n\r\n"));
  other->Send(kOk);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
}

TEST_F(BalanceTest, WithoutBeingAskedForNothingThatMayHaveBeenSeenIsTriedAgain) {
  Have(2);
  Answer answer;
  Exchange("", &answer);
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  EXPECT_TRUE(NobodyIsAsked());
}

TEST_F(BalanceTest, APostIsNotTriedAgainOnceItMayHaveBeenSeen) {
  Have(2);
  options_.retries.idempotent = true;
  Answer answer;
  auto request = Start(&answer, "POST");
  auto [place, peer] = AcceptAnywhere();
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Reset();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  EXPECT_TRUE(NobodyIsAsked());
}

TEST_F(BalanceTest, APutIsTriedAgainOnlyWhileItsBodyWasNotBegun) {
  for (const bool begun : {false, true}) {
    pool_.reset();
    places_.clear();
    Have(2);
    options_.retries.idempotent = true;
    Answer answer;
    auto request = Start(&answer, "PUT", Framing::kLength, 2);
    if (begun) request->SendBody("a", false);
    auto [place, peer] = AcceptAnywhere();
    ASSERT_TRUE(Receives(*peer, begun ? "\r\n\r\na" : "\r\n\r\n"));
    peer->Reset();
    if (begun) {
      ASSERT_TRUE(Ends(answer));
      EXPECT_EQ(answer.error, ErrorKind::kReset);
      continue;
    }
    auto [second, other] = AcceptAnywhere();
    ASSERT_TRUE(Receives(*other, "content-length: 2\r\n"));
    request->SendBody("ab", true);
    ASSERT_TRUE(Receives(*other, "\r\n\r\nab"));
    other->Send(kOk);
    ASSERT_TRUE(Ends(answer));
    EXPECT_EQ(answer.completions, 1);
  }
}

TEST_F(BalanceTest, NothingIsTriedAgainOnceTheHeadOfAnAnswerCame) {
  Have(2);
  options_.retries.idempotent = true;
  Answer answer;
  auto request = Start(&answer);
  auto [place, peer] = AcceptAnywhere();
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  ASSERT_TRUE(Until([&] { return answer.heads == 1; }));
  peer->Reset();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  EXPECT_TRUE(NobodyIsAsked());
}

TEST_F(BalanceTest, ARequestGoesToEachEndpointAtMostOnceWhileOthersAreThere) {
  Have(3);
  options_.retries = {.attempts = 10, .idempotent = true};
  options_.ejection.consecutive_failures = 0;
  Answer answer;
  auto request = Start(&answer);
  std::map<size_t, int> got;
  for (int i = 0; i < 3; ++i) {
    auto [place, peer] = AcceptAnywhere();
    ++got[place];
    ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
    peer->Reset();
  }
  EXPECT_EQ(got.size(), 3u);
  // Then again, up to the attempts.
  for (int i = 0; i < 7; ++i) {
    auto [place, peer] = AcceptAnywhere();
    ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
    peer->Reset();
  }
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
}

TEST(EndpointTest, WhatIsToldLastIsHowItIsThoughThreadsChangeItAtOnce) {
  Mutex mutex;
  CondVar changed;
  std::vector<bool> told;
  bool telling = false;
  Endpoint endpoint({.upstream = "u",
                     .configured = "127.0.0.1:1",
                     .address = *loop::Address::Parse("127.0.0.1:1"),
                     .on_change = [&](const EndpointChange& change) {
                       MutexLock lock(&mutex);
                       if (!std::exchange(telling, true)) {
                         changed.SignalAll();
                         // Time enough for the other thread to tell of its change first, if it can.
                         changed.WaitFor(&mutex, absl::Milliseconds(50));
                       }
                       told.push_back(change.in_service);
                       changed.SignalAll();
                     }});
  std::thread other([&] {
    {
      MutexLock lock(&mutex);
      while (!telling) changed.Wait(&mutex);
    }
    endpoint.SetHealthy(true, "well again");
  });
  endpoint.SetHealthy(false, "ill");
  other.join();
  EXPECT_EQ(told, (std::vector<bool>{false, true}));
  EXPECT_EQ(endpoint.report().state, EndpointState::kHealthy);
}

TEST_F(BalanceTest, RetriesThatMayRepeatSomethingHaveABudget) {
  Have(2);
  options_.retries = {.attempts = 2, .idempotent = true, .budget_percent = 1};
  options_.ejection.consecutive_failures = 0;
  std::vector<std::unique_ptr<Answer>> answers;
  std::vector<std::unique_ptr<Request>> requests;
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back(std::make_unique<Answer>());
    requests.push_back(Start(answers.back().get()));
  }
  for (int i = 0; i < 10; ++i) {
    peers.push_back(AcceptAnywhere().second);
    ASSERT_TRUE(Receives(*peers.back(), "\r\n\r\n"));
  }
  for (auto& peer : peers) peer->Reset();
  ASSERT_TRUE(Until([&] {
    int ended = 0;
    for (auto& answer : answers) ended += answer->ended() ? 1 : 0;
    return ended == 7;
  }));
  EXPECT_EQ(pool_->stats().retries.value(), 3);
  for (auto& answer : answers) {
    if (answer->ended()) {
      EXPECT_THAT(answer->detail, testing::HasSubstr("; not tried again: so many retries are under way"));
    }
  }
  requests.clear();  // with the three that were retried, the budget is free again
  for (int i = 0; i < 3; ++i) AcceptAnywhere();
  Answer later;
  auto request = Start(&later);
  auto peer = AcceptAnywhere().second;
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Reset();
  AcceptAnywhere();
  EXPECT_EQ(pool_->stats().retries.value(), 4);
}

TEST_F(BalanceTest, ARetryThatFailsKeepsItsPlaceInTheBudgetForTheNext) {
  Have(3);
  options_.retries = {.attempts = 3, .idempotent = true, .budget_percent = 1};
  options_.ejection.consecutive_failures = 0;
  std::vector<std::unique_ptr<Answer>> answers;
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 3; ++i) {  // all that the budget allows
    answers.push_back(std::make_unique<Answer>());
    requests.push_back(Start(answers.back().get()));
  }
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < 3; ++i) {
      peers.push_back(AcceptAnywhere().second);
      ASSERT_TRUE(Receives(*peers.back(), "\r\n\r\n"));
    }
    if (round < 2) {
      for (auto& peer : peers) peer->Reset();
      continue;
    }
    for (auto& peer : peers) peer->Send(kOk);
    for (auto& answer : answers) ASSERT_TRUE(Ends(*answer));
  }
  for (auto& answer : answers) EXPECT_EQ(answer->completions, 1) << answer->detail;
}

TEST_F(BalanceTest, RetriesOfWhatNobodySawAreNotBudgeted) {
  Have(2);
  places_[0]->StopListening();
  options_.retries.budget_percent = 1;
  options_.ejection.consecutive_failures = 0;
  std::vector<std::unique_ptr<Answer>> answers;
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 20; ++i) {
    answers.push_back(std::make_unique<Answer>());
    requests.push_back(Start(answers.back().get(), "POST"));
  }
  for (int i = 0; i < 20; ++i) {
    auto peer = AcceptAnywhere().second;
    ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
    peer->Send(kOk);
    ASSERT_TRUE(Until([&] {
      int done = 0;
      for (auto& answer : answers) done += answer->completions;
      return done > i;
    }));
  }
}

TEST_F(BalanceTest, RequestsBeyondTheLimitAreRefusedAtOnce) {
  Have(1);
  options_.max_requests = 2;
  Answer a, b, c;
  auto ra = Start(&a), rb = Start(&b), rc = Start(&c);
  ASSERT_TRUE(Ends(c));
  EXPECT_EQ(c.error, ErrorKind::kOverloaded);
  EXPECT_EQ(c.detail, "too many requests run");
  ra.reset();
  Answer d;
  auto rd = Start(&d);
  Turn();
  EXPECT_FALSE(d.ended());
}

TEST_F(BalanceTest, WhileNamesAreAskedForRequestsWait) {
  Have(1);
  const std::vector<EndpointRef> found = std::exchange(options_.endpoints, {});
  options_.resolving = true;
  Answer answer;
  auto request = Start(&answer);
  Turn();
  EXPECT_FALSE(answer.ended());
  UpstreamOptions known = options_;
  known.endpoints = found;
  known.resolving = false;
  pool_->Update(known);
  auto [place, peer] = AcceptAnywhere();
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Send(kOk);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
}

TEST_F(BalanceTest, WhenANameHasNoAddressWhoWaitedIsRefused) {
  options_.endpoints.clear();
  options_.resolving = true;
  Answer answer;
  auto request = Start(&answer);
  Turn();
  EXPECT_FALSE(answer.ended());
  options_.resolving = false;
  pool_->Update(options_);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kNoEndpoint);
  EXPECT_EQ(answer.detail, "no endpoint has an address");
}

TEST_F(BalanceTest, AConnectionToAnUnhealthyEndpointMakesRoomForWhoWaits) {
  Have(2);
  options_.max_connections = 1;
  Answer a, b;
  auto ra = Start(&a);
  auto [first, peer] = AcceptAnywhere();
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  auto rb = Start(&b);
  options_.endpoints[first]->SetHealthy(false, "no answer");
  peer->Send(kOk);
  ASSERT_TRUE(Ends(a));
  auto [second, other] = AcceptAnywhere();
  EXPECT_NE(first, second);
  ASSERT_TRUE(Receives(*other, "\r\n\r\n"));
  other->Send(kOk);
  ASSERT_TRUE(Ends(b));
  EXPECT_EQ(b.completions, 1);
}

TEST_F(BalanceTest, AnIdleConnectionToAnUnhealthyEndpointMakesRoomForANewOne) {
  Have(2);
  options_.max_connections = 1;
  Answer a, b;
  auto ra = Start(&a);
  auto [first, peer] = AcceptAnywhere();
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Send(kOk);
  ASSERT_TRUE(Ends(a));
  options_.endpoints[first]->SetHealthy(false, "no answer");
  auto rb = Start(&b);
  auto [second, other] = AcceptAnywhere();
  EXPECT_NE(first, second);
}

TEST_F(BalanceTest, CountsReturnToZeroWhateverBecameOfTheRequest) {
  Have(1);
  EndpointCounts& counts = options_.endpoints[0]->worker(0);
  Exchange(kOk);
  Exchange("");
  Answer cancelled, outlives;
  auto ra = Start(&cancelled);
  auto [place, peer] = AcceptAnywhere();
  EXPECT_EQ(counts.active.value(), 1);
  EXPECT_EQ(counts.connections.value(), 1);
  ra.reset();
  EXPECT_EQ(counts.active.value(), 0);
  auto rb = Start(&outlives);
  EXPECT_EQ(counts.active.value(), 1);
  pool_.reset();
  EXPECT_EQ(counts.active.value(), 0);
  EXPECT_EQ(counts.connections.value(), 0);
  EXPECT_EQ(counts.requests.value(), 4);
}

TEST_F(BalanceTest, APoolThatEndsLeavesNoEndpointEjected) {
  Have(2);
  options_.ejection.consecutive_failures = 1;
  const size_t out = Exchange(kBusy);
  ASSERT_EQ(options_.endpoints[out]->report().state, EndpointState::kEjected);
  pool_.reset();
  EXPECT_EQ(options_.endpoints[out]->report().state, EndpointState::kHealthy);
}

}  // namespace
}  // namespace gatehouse::upstream
