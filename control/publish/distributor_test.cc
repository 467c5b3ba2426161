#include "control/publish/distributor.h"

#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::publish {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// FakeEndpoint remembers what it was given, and applies it as a gateway would.
class FakeEndpoint : public Endpoint {
 public:
  void Deliver(Update update) override {
    MutexLock lock(&mutex_);
    deliveries_.push_back(absl::StrCat(update.delta == nullptr ? "full " : "delta ", update.to->revision));
    if (update.delta == nullptr) {
      set_ = update.to->resources;
    } else {
      auto next = config::ApplyDelta(set_, *update.delta);
      ASSERT_TRUE(next.ok()) << next.status();
      set_ = *std::move(next);
    }
    EXPECT_EQ(set_.digest(), update.to->digest);
    last_ = std::move(update);
  }
  void Confirm(uint64_t revision) override {
    MutexLock lock(&mutex_);
    confirmed_.push_back(revision);
    changed_.SignalAll();
  }
  void Close(absl::Status why) override {
    MutexLock lock(&mutex_);
    closed_ = std::move(why);
  }

  std::vector<std::string> deliveries() {
    MutexLock lock(&mutex_);
    return deliveries_;
  }
  absl::Status closed() {
    MutexLock lock(&mutex_);
    return closed_;
  }
  // Those that came so far, once there are `n`.
  std::vector<uint64_t> Confirmed(size_t n) {
    MutexLock lock(&mutex_);
    while (confirmed_.size() < n) {
      if (!changed_.WaitFor(&mutex_, absl::Seconds(20))) break;
    }
    return confirmed_;
  }
  Update last() {
    MutexLock lock(&mutex_);
    return last_;
  }
  void Hold(const v1::ConfigSet& set) {
    MutexLock lock(&mutex_);
    set_ = config::ResourceMap(set);
  }

 private:
  Mutex mutex_;
  std::vector<std::string> deliveries_;
  absl::Status closed_;
  Update last_;
  CondVar changed_;
  std::vector<uint64_t> confirmed_;
  config::ResourceMap set_;
};

class DistributorTest : public ::testing::Test {
 protected:
  struct Line {
    std::shared_ptr<FakeEndpoint> endpoint = std::make_shared<FakeEndpoint>();
    std::unique_ptr<Session> session;
  };

  DistributorTest() { Open({}); }
  void Open(DistributorOptions options) {
    distributor_ = std::make_unique<Distributor>(
        "store-1", clock_, alarms_,
        [this](v1::Event event) {
          MutexLock lock(&mutex_);
          events_.push_back(std::move(event));
        },
        options);
  }

  static v1::ConfigSet Set(std::initializer_list<const char*> upstreams) {
    v1::ConfigSet set;
    for (const char* name : upstreams) set.add_upstreams()->set_name(name);
    return set;
  }
  void Publish(uint64_t revision, std::initializer_list<const char*> upstreams) {
    distributor_->Publish(revision, config::ResourceMap(Set(upstreams)));
  }
  Line Connect(const std::string& name) {
    return Connect(GatewayHello{.name = name, .version = "1", .peer = "test"});
  }
  Line Connect(const GatewayHello& hello, const v1::ConfigSet& held = {}) {
    Line line;
    line.endpoint->Hold(held);
    auto session = distributor_->Connect(hello, line.endpoint);
    EXPECT_TRUE(session.ok()) << session.status();
    if (session.ok()) line.session = *std::move(session);
    return line;
  }
  static GatewayHello Holding(uint64_t revision, const v1::ConfigSet& set, const char* incarnation = "store-1") {
    return GatewayHello{.name = "g",
                        .version = "1",
                        .peer = "test",
                        .revision = revision,
                        .digest = std::string(AsView(config::ResourceMap(set).digest())),
                        .incarnation = incarnation};
  }
  static google::protobuf::RepeatedPtrField<v1::Violation> Violations(const char* path, const char* message) {
    google::protobuf::RepeatedPtrField<v1::Violation> violations;
    violations.Add()->set_path(path);
    violations.rbegin()->set_message(message);
    return violations;
  }
  std::future<v1::ForceStatus> Wait(uint64_t revision, absl::Duration timeout = absl::Seconds(60)) {
    auto promise = std::make_shared<std::promise<v1::ForceStatus>>();
    std::future<v1::ForceStatus> future = promise->get_future();
    distributor_->WaitInForce(revision, timeout,
                              [promise](v1::ForceStatus status) { promise->set_value(std::move(status)); });
    return future;
  }
  std::vector<std::string> Details() {
    MutexLock lock(&mutex_);
    std::vector<std::string> details;
    for (const v1::Event& event : events_) details.push_back(event.detail());
    return details;
  }

  FakeClock clock_;
  Alarms alarms_;
  Mutex mutex_;
  std::vector<v1::Event> events_;
  std::unique_ptr<Distributor> distributor_;
};

TEST_F(DistributorTest, ANewcomerGetsTheWholeSetAndThenDeltas) {
  Publish(1, {"a"});
  Line g = Connect("g");
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 1"));
  g.session->Ack(1);
  Publish(2, {"a", "b"});
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 1", "delta 2"));
  EXPECT_EQ(g.endpoint->last().delta->changed().upstreams_size(), 1);
  g.session->Ack(2);
  Publish(3, {"b"});
  EXPECT_THAT(g.endpoint->last().delta->removed(), SizeIs(1));
  EXPECT_EQ(g.endpoint->last().delta->from_revision(), 2u);
}

TEST_F(DistributorTest, TheLatestWinsWhileAGatewayIsBusy) {
  Publish(1, {"a"});
  Line g = Connect("g");
  g.session->Ack(1);
  Publish(2, {"b"});
  Publish(3, {"c"});
  Publish(4, {"d"});
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 1", "delta 2"));
  g.session->Ack(2);
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 1", "delta 2", "delta 4"));
}

TEST_F(DistributorTest, AGatewayThatComesBackGetsADeltaFromWhatItHolds) {
  Publish(1, {"a"});
  Publish(2, {"a", "b"});
  Publish(3, {"a", "b", "c"});
  Line g = Connect(Holding(1, Set({"a"})), Set({"a"}));
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("delta 3"));
}

TEST_F(DistributorTest, AGatewayThatHoldsTheNewestRevisionGetsNothing) {
  Publish(3, {"a"});
  Line g = Connect(Holding(3, Set({"a"})));
  EXPECT_THAT(g.endpoint->deliveries(), IsEmpty());
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 3u);
}

TEST_F(DistributorTest, RevisionZeroIsARevisionToo) {
  Publish(0, {});
  Line g = Connect("g");
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 0"));
  std::future<v1::ForceStatus> wait = Wait(0);
  g.session->Nack(0, {});
  EXPECT_EQ(wait.get().in_force(), 0u);
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 0")) << "what was refused is not sent again";
}

TEST_F(DistributorTest, OtherContentUnderAKnownNumberIsReplacedWhole) {
  Publish(1, {"a"});
  Publish(3, {"a"});
  EXPECT_THAT(Connect(Holding(3, Set({"x"}))).endpoint->deliveries(), ElementsAre("full 3"));
  EXPECT_THAT(Connect(Holding(1, Set({"x"}))).endpoint->deliveries(), ElementsAre("full 3"));
  EXPECT_THAT(Connect(Holding(3, Set({"a"}), "store-0")).endpoint->deliveries(), ElementsAre("full 3"));
}

TEST_F(DistributorTest, ARevisionThatWasNeverMadeCountsForNothing) {
  Publish(3, {"a"});
  Line g = Connect(Holding(9, Set({"a"})));
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 3"));
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 0u);
}

// The store was restored from a backup of revision 5 while the gateway was away with the old 10.
TEST_F(DistributorTest, ARevisionOfAnotherHistoryIsNotInForce) {
  for (uint64_t revision = 5; revision <= 12; ++revision) Publish(revision, {"a", absl::StrCat("r", revision).c_str()});
  Line old = Connect(Holding(10, Set({"old"})));
  EXPECT_EQ(Wait(8, absl::Milliseconds(1)).get().in_force(), 0u);
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 0u);
  old.session->Ack(12);
  EXPECT_EQ(Wait(8).get().in_force(), 1u);
  Line ours = Connect(Holding(10, Set({"a", "r10"})), Set({"a", "r10"}));
  EXPECT_EQ(Wait(8).get().in_force(), 1u);
}

// The control plane was started anew since, and remembers nothing of it.
TEST_F(DistributorTest, ARevisionThatIsNotRememberedIsShownButNotInForce) {
  Publish(12, {"a"});
  Line g = Connect(Holding(10, Set({"b"})), Set({"b"}));
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 12"));
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 10u);
  EXPECT_EQ(Wait(8, absl::Milliseconds(1)).get().in_force(), 0u);
  g.session->Ack(12);
  EXPECT_EQ(Wait(8).get().in_force(), 1u);
}

TEST_F(DistributorTest, ADeltaThatIsTooBigOrTooOldBecomesAWholeSet) {
  Open({.max_history = 2, .max_delta_bytes = 200});
  Publish(1, {"a"});
  Publish(2, {"b"});
  Publish(3, {"c"});
  EXPECT_THAT(Connect(Holding(1, Set({"a"})), Set({"a"})).endpoint->deliveries(), ElementsAre("full 3"));
  EXPECT_THAT(Connect(Holding(2, Set({"b"})), Set({"b"})).endpoint->deliveries(), ElementsAre("delta 3"));
  const std::string big(300, 'x');
  Publish(4, {big.c_str()});
  EXPECT_THAT(Connect(Holding(3, Set({"c"}))).endpoint->deliveries(), ElementsAre("full 4"));
}

// Each revision that some gateway holds is another delta's origin.
TEST_F(DistributorTest, DeltasToTheNewestAreBoundedTogetherAndBeyondThatComesTheWholeSet) {
  Open({.max_deltas_bytes = 500});
  const std::string big(300, 'x');
  Publish(1, {"a"});
  Publish(2, {"b"});
  Publish(3, {"c", big.c_str()});
  EXPECT_THAT(Connect(Holding(1, Set({"a"})), Set({"a"})).endpoint->deliveries(), ElementsAre("delta 3"));
  EXPECT_THAT(Connect(Holding(2, Set({"b"})), Set({"b"})).endpoint->deliveries(), ElementsAre("full 3"));
  EXPECT_THAT(Connect(Holding(1, Set({"a"})), Set({"a"})).endpoint->deliveries(), ElementsAre("delta 3")) << "it is shared";
  Publish(4, {"d"});
  EXPECT_THAT(Connect(Holding(2, Set({"b"})), Set({"b"})).endpoint->deliveries(), ElementsAre("delta 4")) << "there is room again";
}

TEST_F(DistributorTest, ANackKeepsTheLastGoodRevisionIsShownAndRaisesAnEvent) {
  Publish(1, {"a"});
  Line g = Connect("g");
  g.session->Ack(1);
  Publish(2, {"b"});
  g.session->Nack(2, Violations("listeners[\"web\"].address", "in use"));

  v1::GatewayStatus status = distributor_->Gateways()[0];
  EXPECT_EQ(status.acknowledged_revision(), 1u);
  EXPECT_EQ(status.refused_revision(), 2u);
  EXPECT_EQ(status.violations(0).message(), "in use");
  v1::Event event = events_.back();
  EXPECT_EQ(event.type(), v1::Event::CONFIG);
  EXPECT_EQ(event.outcome(), v1::Event::REFUSED);
  EXPECT_EQ(event.revision(), 2u);
  EXPECT_THAT(event.detail(), HasSubstr("in use"));
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 1", "delta 2")) << "what was refused is not sent again";

  Publish(3, {"c"});
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 1", "delta 2", "full 3"));
  g.session->Ack(3);
  EXPECT_EQ(distributor_->Gateways()[0].refused_revision(), 0u);
}

TEST_F(DistributorTest, WhatWasRefusedMayBeTakenAfterAllAsLongAsItIsTheNewest) {
  Publish(1, {"a"});
  Line g = Connect("g");
  g.session->Ack(1);
  Publish(2, {"b"});
  g.session->Nack(2, Violations("serverCertificates[\"web\"].files", "No such file"));
  g.session->Ack(1);
  EXPECT_EQ(distributor_->Gateways()[0].refused_revision(), 2u) << "an older one says nothing of it";
  g.session->Ack(2);
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 2u);
  EXPECT_EQ(distributor_->Gateways()[0].refused_revision(), 0u);
  Publish(3, {"c"});
  EXPECT_EQ(g.endpoint->deliveries().back(), "delta 3") << "it holds what was published";
  g.session->Nack(3, Violations("x", "y"));
  Publish(4, {"d"});
  g.session->Ack(3);
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 2u) << "4 is under way";
  g.session->Ack(4);
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 4u);
}

TEST_F(DistributorTest, AnAnswerToNothingIsIgnored) {
  Publish(1, {"a"});
  Line g = Connect("g");
  g.session->Ack(7);
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 0u);
  g.session->Ack(1);
  g.session->Ack(1);
  g.session->Nack(1, {});
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 1u);
  EXPECT_EQ(distributor_->Gateways()[0].refused_revision(), 0u);
}

TEST_F(DistributorTest, AnOlderRevisionIsNeverPublished) {
  Publish(5, {"a"});
  Line g = Connect("g");
  g.session->Ack(5);
  Publish(4, {"b"});
  Publish(5, {"c"});
  EXPECT_THAT(g.endpoint->deliveries(), ElementsAre("full 5"));
  EXPECT_EQ(distributor_->revision(), 5u);
}

TEST_F(DistributorTest, WaitsForEveryConnectedGateway) {
  Line a = Connect("a");
  Line b = Connect("b");
  Publish(1, {"a"});
  std::future<v1::ForceStatus> wait = Wait(1);
  a.session->Ack(1);
  EXPECT_EQ(wait.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  b.session->Ack(1);
  v1::ForceStatus status = wait.get();
  EXPECT_EQ(status.gateways(), 2u);
  EXPECT_EQ(status.in_force(), 2u);
  EXPECT_GT(status.micros(), 0u);
  EXPECT_THAT(status.lagging(), IsEmpty());
}

TEST_F(DistributorTest, AWaitEndsAtOnceWhenThereIsNothingToWaitFor) {
  Publish(1, {"a"});
  EXPECT_EQ(Wait(1).get().gateways(), 0u);
  Line a = Connect("a");
  a.session->Ack(1);
  EXPECT_EQ(Wait(1).get().in_force(), 1u);
}

TEST_F(DistributorTest, AWaitTellsWhoRefusedAndWhy) {
  Line a = Connect("a");
  Publish(1, {"a"});
  std::future<v1::ForceStatus> wait = Wait(1);
  a.session->Nack(1, Violations("listeners[\"web\"]", "port 443 is in use"));
  v1::ForceStatus status = wait.get();
  EXPECT_EQ(status.in_force(), 0u);
  EXPECT_THAT(status.lagging(), ElementsAre(HasSubstr("a: refused it; listeners[\"web\"]: port 443 is in use")));
}

TEST_F(DistributorTest, AWaitTimesOutAndNamesWhoDidNotAnswerOrWent) {
  Line a = Connect("a");
  Line b = Connect("b");
  Publish(1, {"a"});
  std::future<v1::ForceStatus> wait = Wait(1, absl::Milliseconds(20));
  b.session.reset();
  EXPECT_THAT(wait.get().lagging(), ElementsAre("a: no answer yet", "b: disconnected"));
}

TEST_F(DistributorTest, CatchesUpFromEveryRevisionByADeltaOrWhole) {
  DistributorOptions options;
  options.max_history = 5;
  Open(options);
  std::vector<v1::ConfigSet> sets;
  for (uint64_t revision = 1; revision <= 12; ++revision) {
    v1::ConfigSet set;
    for (uint64_t i = revision % 3; i < revision; ++i) set.add_upstreams()->set_name(absl::StrCat("u", i));
    sets.push_back(set);
    distributor_->Publish(revision, config::ResourceMap(set));
  }
  for (uint64_t held = 1; held < 12; ++held) {
    Line line = Connect(Holding(held, sets[held - 1]), sets[held - 1]);  // the endpoint checks that what it makes is the newest
    EXPECT_THAT(line.endpoint->deliveries(), ElementsAre(held >= 8 ? "delta 12" : "full 12")) << held;
  }
}

TEST_F(DistributorTest, NobodyGetsADeltaOverAChangeOfTooMany) {
  DistributorOptions options;
  options.max_touched = 2;
  Open(options);
  Publish(1, {"a"});
  Line before = Connect("before");
  before.session->Ack(1);
  Publish(2, {"a", "b", "c", "d"});
  Line after = Connect("after");
  before.session->Ack(2);
  after.session->Ack(2);
  Publish(3, {"a", "b", "c", "d", "e"});
  EXPECT_THAT(before.endpoint->deliveries(), ElementsAre("full 1", "full 2", "delta 3"));
  EXPECT_THAT(after.endpoint->deliveries(), ElementsAre("full 2", "delta 3"));
}

TEST_F(DistributorTest, WhatIsRememberedOfChangesIsBoundedTogether) {
  Open({.max_touched = 4});
  Publish(1, {"a"});
  Publish(2, {"b"});
  Publish(3, {"c"});
  EXPECT_THAT(Connect(Holding(1, Set({"a"})), Set({"a"})).endpoint->deliveries(), ElementsAre("delta 3"));
  Publish(4, {"d"});
  EXPECT_THAT(Connect(Holding(1, Set({"a"})), Set({"a"})).endpoint->deliveries(), ElementsAre("full 4")) << "six names";
  EXPECT_THAT(Connect(Holding(2, Set({"b"})), Set({"b"})).endpoint->deliveries(), ElementsAre("delta 4"));
}

TEST_F(DistributorTest, WhoHasTheNewestHearsSoAtEveryHeartbeat) {
  DistributorOptions options;
  options.heartbeat = absl::Milliseconds(1);
  Open(options);
  Publish(1, {"a"});
  Line current = Connect("current");
  Line behind = Connect("behind");
  current.session->Ack(1);
  EXPECT_THAT(current.endpoint->Confirmed(3), ::testing::Each(1u));
  EXPECT_THAT(behind.endpoint->Confirmed(0), IsEmpty());
  Line back = Connect(Holding(1, Set({"a"})), Set({"a"}));
  EXPECT_THAT(back.endpoint->Confirmed(1), ::testing::Not(IsEmpty()));
}

TEST_F(DistributorTest, TellsTheLoadAndWhenAGatewayWasLastHeardOf) {
  Line line = Connect("g");
  EXPECT_FALSE(distributor_->Gateways().at(0).has_load());
  clock_.Advance(absl::Seconds(7));
  v1::GatewayLoad load;
  load.set_connections(12);
  line.session->Report(load);
  clock_.Advance(absl::Seconds(7));
  const v1::GatewayStatus status = distributor_->Gateways().at(0);
  EXPECT_EQ(status.load().connections(), 12u);
  EXPECT_EQ(status.last_seen().seconds(), absl::ToUnixSeconds(clock_.Now()) - 7);
}

TEST_F(DistributorTest, AGatewayThatIsForgottenIsSentAwayAndLeavesNothing) {
  Publish(1, {"a"});
  Line line = Connect("g");
  std::future<v1::ForceStatus> wait = Wait(1);
  EXPECT_TRUE(distributor_->Forget("g").ok());
  EXPECT_EQ(line.endpoint->closed().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(distributor_->Gateways(), IsEmpty());
  EXPECT_THAT(wait.get().lagging(), ElementsAre("g: disconnected"));
  line.session->Ack(1);  // too late: nobody of that name
  line.session.reset();
  EXPECT_EQ(distributor_->Forget("g").code(), absl::StatusCode::kNotFound);
  Line embedded = Connect(GatewayHello{.name = "embedded", .version = "1", .peer = "embedded", .exclusive = true});
  EXPECT_EQ(distributor_->Forget("embedded").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DistributorTest, ListenersHearWhenAGatewayComesTakesRefusesAndGoes) {
  int heard = 0;
  auto listener = distributor_->Listen([&heard] { ++heard; });
  Line line = Connect("g");
  EXPECT_EQ(heard, 1);
  Publish(1, {"a"});
  EXPECT_EQ(heard, 2);
  line.session->Ack(1);
  EXPECT_EQ(heard, 3);
  Publish(2, {"b"});
  line.session->Nack(2, {});
  EXPECT_EQ(heard, 5);
  line.session.reset();
  EXPECT_EQ(heard, 6);
  listener = nullptr;
  Line other = Connect("h");
  EXPECT_EQ(heard, 6);
}

TEST_F(DistributorTest, ALaterRevisionSatisfiesTheWaitForAnEarlierOne) {
  Line a = Connect("a");
  Publish(1, {"a"});
  Publish(2, {"b"});
  std::future<v1::ForceStatus> wait = Wait(1);
  a.session->Nack(1, {});
  EXPECT_EQ(wait.wait_for(std::chrono::seconds(0)), std::future_status::timeout) << "revision 2 is under way";
  a.session->Ack(2);
  EXPECT_EQ(wait.get().in_force(), 1u);
}

TEST_F(DistributorTest, ANewerConnectionOfTheSameNameReplacesTheOlder) {
  Publish(1, {"a"});
  Line old = Connect("g");
  Line fresh = Connect("g");
  EXPECT_EQ(old.endpoint->closed().code(), absl::StatusCode::kAborted);
  old.session->Ack(1);
  old.session.reset();
  EXPECT_TRUE(distributor_->Gateways()[0].connected());
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 0u);
  fresh.session->Ack(1);
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 1u);
}

TEST_F(DistributorTest, AGatewayThatIsGoneIsRememberedInTheStatus) {
  Publish(1, {"a"});
  Line g = Connect("g");
  g.session->Ack(1);
  g.session.reset();
  ASSERT_THAT(distributor_->Gateways(), SizeIs(1));
  EXPECT_FALSE(distributor_->Gateways()[0].connected());
  EXPECT_EQ(distributor_->Gateways()[0].acknowledged_revision(), 1u);
  EXPECT_THAT(Details(), ElementsAre("connected from test, holds revision 0", "disconnected"));
}

TEST_F(DistributorTest, NamesAndNumbersOfGatewaysAreBounded) {
  Open({.max_gateways = 2});
  for (const char* name : {"", "-a", "a b", "a/b", "\xc3\xa4"}) {
    GatewayHello hello{.name = name};
    EXPECT_EQ(distributor_->Connect(hello, std::make_shared<FakeEndpoint>()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
  Line a = Connect("a");
  Line b = Connect("b");
  EXPECT_EQ(distributor_->Connect(GatewayHello{.name = "c"}, std::make_shared<FakeEndpoint>()).status().code(),
            absl::StatusCode::kResourceExhausted);
  a.session.reset();
  Line c = Connect("c");
  EXPECT_THAT(distributor_->Gateways(), SizeIs(2)) << "the one that is gone made room";
}

TEST_F(DistributorTest, GatewaysThatAnswerOnTheirOwnThreadsEndAtTheNewestRevision) {
  std::vector<Line> lines;
  for (int i = 0; i < 4; ++i) lines.push_back(Connect(absl::StrCat("g", i)));
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (Line& line : lines) {
    threads.emplace_back([&] {
      while (!stop) {
        if (auto to = line.endpoint->last().to) line.session->Ack(to->revision);
      }
    });
  }
  for (uint64_t revision = 1; revision <= 50; ++revision) Publish(revision, {revision % 2 == 0 ? "a" : "b"});
  EXPECT_EQ(Wait(50).get().in_force(), 4u);
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace gatehouse::publish
