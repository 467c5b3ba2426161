#include "control/events/hub.h"

#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Event Decision(const std::string& route, v1::Event::Outcome outcome = v1::Event::ALLOWED) {
  v1::Event event;
  event.set_type(v1::Event::DECISION);
  event.set_outcome(outcome);
  event.mutable_request()->set_route(route);
  return event;
}

class HubTest : public ::testing::Test {
 protected:
  void Open(HubOptions options = {}) { hub_ = std::make_unique<Hub>(clock_, options); }

  static v1::WatchRequest Only(const v1::EventFilter& filter) {
    v1::WatchRequest request;
    *request.mutable_filter() = filter;
    return request;
  }
  void Publish(const std::string& route) { hub_->PublishOne(Decision(route)); }

  std::unique_ptr<Watcher> Watch(const v1::EventFilter& filter = {}) {
    auto watcher = hub_->Watch(Only(filter), [] {});
    EXPECT_TRUE(watcher.ok()) << watcher.status();
    return watcher.ok() ? *std::move(watcher) : nullptr;
  }
  absl::StatusOr<std::unique_ptr<Watcher>> WatchAfter(const std::string& incarnation, uint64_t sequence) {
    v1::WatchRequest request;
    request.mutable_after()->set_incarnation(incarnation);
    request.mutable_after()->set_sequence(sequence);
    return hub_->Watch(request, [] {});
  }

  static std::vector<v1::Event> Read(Watcher& watcher, size_t max = 1000) {
    std::vector<Watcher::Piece> pieces;
    watcher.Next(max, 1 << 20, &pieces);
    std::string wire;
    for (const Watcher::Piece& piece : pieces) absl::StrAppend(&wire, piece.bytes);
    v1::WatchResponse response;
    EXPECT_TRUE(response.ParseFromString(wire));
    return {response.events().begin(), response.events().end()};
  }
  static std::vector<std::string> Routes(const std::vector<v1::Event>& events) {
    std::vector<std::string> routes;
    for (const v1::Event& e : events) {
      routes.push_back(e.type() == v1::Event::GAP ? absl::StrCat("GAP ", e.missed()) : e.request().route());
    }
    return routes;
  }

  FakeClock clock_;
  std::unique_ptr<Hub> hub_;
};

TEST_F(HubTest, AWatcherSeesWhatComesAfterItInOrderAndNumbered) {
  Open();
  Publish("before");
  auto watcher = Watch();
  Publish("a");
  Publish("b");

  std::vector<v1::Event> events = Read(*watcher);
  EXPECT_THAT(Routes(events), ElementsAre("a", "b"));
  EXPECT_EQ(events[0].cursor().sequence(), 2u);
  EXPECT_EQ(events[1].cursor().sequence(), 3u);
  EXPECT_EQ(events[1].cursor().incarnation(), hub_->incarnation());
  EXPECT_EQ(events[0].time().seconds(), absl::ToUnixSeconds(clock_.Now()));
  EXPECT_THAT(Read(*watcher), IsEmpty());
}

TEST_F(HubTest, ASlowWatcherGetsAGapThatCountsWhatItMissedAndOthersGetAll) {
  Open({.max_events = 3});
  auto slow = Watch();
  auto quick = Watch();
  std::vector<std::string> seen;
  for (const char* route : {"a", "b", "c", "d", "e"}) {
    Publish(route);
    for (const std::string& r : Routes(Read(*quick))) seen.push_back(r);
  }
  EXPECT_THAT(seen, ElementsAre("a", "b", "c", "d", "e"));

  std::vector<v1::Event> events = Read(*slow);
  EXPECT_THAT(Routes(events), ElementsAre("GAP 2", "c", "d", "e"));
  EXPECT_EQ(events[0].cursor().sequence(), 2u) << "a watcher that resumes after the gap gets the third event";
}

TEST_F(HubTest, TheRingIsBoundedInOctetsToo) {
  Open({.max_bytes = 1000});
  auto slow = Watch();
  for (int i = 0; i < 50; ++i) Publish(std::string(90, 'x'));
  std::vector<v1::Event> events = Read(*slow);
  ASSERT_EQ(events[0].type(), v1::Event::GAP);
  EXPECT_EQ(events[0].missed() + events.size() - 1, 50u);
  EXPECT_LT(events.size(), 12u);
}

TEST_F(HubTest, WhatAWatcherHoldsStaysAsItIsWhenTheRingsMemoryIsUsedAgain) {
  Open({.max_bytes = 300'000});
  auto watcher = Watch();
  const auto publish = [&](char c) {
    hub_->Publish(200, [&](size_t, std::string* out, Facts* facts) {
      facts->type = v1::Event::DECISION;
      Decision(std::string(500, c)).AppendToString(out);
      return 0u;
    });
  };
  publish('a');
  std::vector<Watcher::Piece> pieces;
  EXPECT_EQ(watcher->Next(1000, 1 << 20, &pieces).events, 200u);
  for (char c = 'b'; c <= 'z'; ++c) publish(c);
  std::string wire;
  for (const Watcher::Piece& piece : pieces) absl::StrAppend(&wire, piece.bytes);
  v1::WatchResponse held;
  ASSERT_TRUE(held.ParseFromString(wire));
  ASSERT_EQ(held.events_size(), 200);
  for (const v1::Event& event : held.events()) ASSERT_EQ(event.request().route(), std::string(500, 'a'));
  auto late = Watch();
  publish('-');
  const std::vector<v1::Event> events = Read(*late);
  ASSERT_EQ(events.size(), 200u);
  for (const v1::Event& event : events) ASSERT_EQ(event.request().route(), std::string(500, '-'));
}

TEST_F(HubTest, EventsInWireFormAreNumberedLikeMessagesWhateverTheirLength) {
  Open();
  auto watcher = Watch();
  const std::vector<std::string> routes = {"", "r", std::string(130, 'r'), std::string(20'000, 'r'), "z"};
  hub_->Publish(routes.size(), [&](size_t i, std::string* out, Facts* facts) {
    facts->type = v1::Event::DECISION;
    Decision(routes[i]).AppendToString(out);
    return i;
  });
  Publish("last");

  std::vector<v1::Event> events = Read(*watcher);
  ASSERT_EQ(events.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(events[i].cursor().sequence(), i + 1);
    EXPECT_EQ(events[i].cursor().incarnation(), hub_->incarnation());
    EXPECT_EQ(events[i].request().route(), i < 5 ? routes[i] : "last");
  }
  EXPECT_EQ(hub_->stats().lost, 10u);
  EXPECT_THAT(Routes(Read(**WatchAfter(hub_->incarnation(), 4))), ElementsAre("z", "last"));
}

TEST_F(HubTest, AFilterLetsThroughWhatMatchesEveryPart) {
  Open();
  v1::EventFilter filter;
  filter.add_outcomes(v1::Event::REFUSED);
  filter.add_routes("a");
  filter.add_routes("b");
  auto watcher = Watch(filter);
  hub_->PublishOne(Decision("a", v1::Event::REFUSED));
  hub_->PublishOne(Decision("a", v1::Event::ALLOWED));
  hub_->PublishOne(Decision("b", v1::Event::REFUSED));
  hub_->PublishOne(Decision("c", v1::Event::REFUSED));

  EXPECT_THAT(Routes(Read(*watcher)), ElementsAre("a", "b"));
}

TEST_F(HubTest, FiltersOnEveryField) {
  v1::Event event = Decision("r");
  event.set_gateway("g1");
  event.set_principal("alice");
  event.add_schemes("Basic");
  event.set_reason(v1::WRONG_PASSWORD);
  event.mutable_certificate()->set_sha256(std::string(64, 'a'));
  auto matches = [&](auto set) {
    v1::EventFilter filter;
    set(filter);
    return Filter::Create(filter)->Matches(event);
  };
  EXPECT_TRUE(matches([](auto& f) { f.add_gateways("g1"); }));
  EXPECT_FALSE(matches([](auto& f) { f.add_gateways("g2"); }));
  EXPECT_TRUE(matches([](auto& f) { f.add_principals("alice"); }));
  EXPECT_FALSE(matches([](auto& f) { f.add_principals("Alice"); }));
  EXPECT_TRUE(matches([](auto& f) { f.add_schemes("Basic"); }));
  EXPECT_FALSE(matches([](auto& f) { f.add_schemes("Certificate"); }));
  EXPECT_TRUE(matches([](auto& f) { f.add_reasons(v1::WRONG_PASSWORD); }));
  EXPECT_FALSE(matches([](auto& f) { f.add_reasons(v1::EXPIRED); }));
  EXPECT_TRUE(matches([](auto& f) { f.add_certificates(std::string(64, 'A')); }));
  EXPECT_FALSE(matches([](auto& f) { f.add_certificates(std::string(64, 'b')); }));
  EXPECT_TRUE(matches([](auto& f) { f.add_types(v1::Event::DECISION); }));
  EXPECT_FALSE(matches([](auto& f) { f.add_types(v1::Event::TRUST); }));
}

TEST_F(HubTest, AFilterThatMeansNothingIsRefused) {
  Open();
  v1::EventFilter unknown;
  unknown.add_types(static_cast<v1::Event::Type>(77));
  v1::EventFilter digest;
  digest.add_certificates("abc");
  v1::EventFilter many;
  for (int i = 0; i < 1001; ++i) many.add_routes("r");
  for (const v1::EventFilter* filter : {&unknown, &digest, &many}) {
    EXPECT_EQ(hub_->Watch(Only(*filter), [] {}).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(HubTest, ACursorResumesBehindIt) {
  Open();
  for (const char* route : {"a", "b", "c"}) Publish(route);
  auto watcher = WatchAfter(hub_->incarnation(), 1);
  ASSERT_TRUE(watcher.ok());
  EXPECT_THAT(Routes(Read(**watcher)), ElementsAre("b", "c"));
}

TEST_F(HubTest, ACursorThatIsTooOldOrForeignOrInTheFutureIsOutOfRange) {
  Open({.max_events = 2});
  for (const char* route : {"a", "b", "c", "d"}) Publish(route);
  EXPECT_EQ(WatchAfter(hub_->incarnation(), 1).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(WatchAfter("other", 3).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(WatchAfter(hub_->incarnation(), 5).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(WatchAfter(hub_->incarnation(), 2).ok());
  EXPECT_TRUE(WatchAfter(hub_->incarnation(), 4).ok());
}

TEST_F(HubTest, ABatchThatWasTakenIsNotTakenTwice) {
  Open();
  auto watcher = Watch();
  auto report = [&](const char* run, uint64_t batch, const char* route) {
    v1::Event event = Decision(route);
    event.set_gateway("liar");
    return hub_->Report("g", run, batch, absl::MakeSpan(&event, 1));
  };
  EXPECT_EQ(report("run1", 1, "a"), 1u);
  EXPECT_EQ(report("run1", 2, "b"), 2u);
  EXPECT_EQ(report("run1", 2, "b again"), 2u);
  EXPECT_EQ(report("run1", 1, "a again"), 2u);
  EXPECT_EQ(report("run2", 1, "c"), 1u);

  std::vector<v1::Event> events = Read(*watcher);
  EXPECT_THAT(Routes(events), ElementsAre("a", "b", "c"));
  EXPECT_EQ(events[0].gateway(), "g") << "a gateway speaks for itself only";
}

TEST_F(HubTest, AGatewayCannotSayWhoWroteTheConfiguration) {
  Open();
  auto watcher = Watch();
  std::vector<v1::Event> events = {Decision("a"), Decision("forged"), Decision("b")};
  events[1].set_type(v1::Event::AUDIT);
  EXPECT_EQ(hub_->Report("g", "run", 1, absl::MakeSpan(events)), 1u);
  EXPECT_THAT(Routes(Read(*watcher)), ElementsAre("a", "b"));
}

TEST_F(HubTest, ReadsInPiecesOfTheAskedSize) {
  Open();
  auto watcher = Watch();
  std::vector<v1::Event> events;
  for (int i = 0; i < 10; ++i) events.push_back(Decision(absl::StrCat(i)));
  hub_->Publish(absl::MakeSpan(events));
  EXPECT_THAT(Routes(Read(*watcher, 4)), ElementsAre("0", "1", "2", "3"));
  EXPECT_THAT(Routes(Read(*watcher, 4)), ElementsAre("4", "5", "6", "7"));
  EXPECT_THAT(Routes(Read(*watcher, 4)), ElementsAre("8", "9"));
}

TEST_F(HubTest, WatchersAreBounded) {
  Open({.max_watchers = 2});
  auto a = Watch();
  auto b = Watch();
  EXPECT_EQ(hub_->Watch({}, [] {}).status().code(), absl::StatusCode::kResourceExhausted);
  a.reset();
  EXPECT_EQ(hub_->stats().watchers, 1u);
  a = Watch();
  EXPECT_EQ(hub_->stats().watchers, 2u);
}

TEST_F(HubTest, WakesAWatcherThatFoundNothingOnce) {
  Open();
  std::promise<void> woken;
  std::atomic<int> wakes = 0;
  auto watcher = hub_->Watch({}, [&] {
    if (++wakes == 1) woken.set_value();
  });
  ASSERT_TRUE(watcher.ok());
  Publish("a");
  EXPECT_THAT(Routes(Read(**watcher)), ElementsAre("a"));
  EXPECT_EQ(wakes, 0) << "it was not waiting";
  EXPECT_THAT(Read(**watcher), IsEmpty());
  Publish("b");
  woken.get_future().wait();
  Publish("c");
  EXPECT_THAT(Routes(Read(**watcher)), ElementsAre("b", "c"));
  EXPECT_EQ(wakes, 1);
}

TEST_F(HubTest, CountsWhatGatewaysLost) {
  Open();
  v1::Event event = Decision("a");
  event.set_missed(7);
  hub_->PublishOne(event);
  EXPECT_EQ(hub_->stats().events, 1u);
  EXPECT_EQ(hub_->stats().lost, 7u);
}

TEST_F(HubTest, AFilteredWatcherIsToldWhatAGatewayLostBeforeAnEventThatItDoesNotWant) {
  Open();
  const auto report = [&](const std::string& gateway, v1::Event::Outcome outcome, uint64_t missed) {
    v1::Event event = Decision(gateway, outcome);
    event.set_gateway(gateway);
    event.set_missed(missed);
    hub_->PublishOne(event);
  };
  v1::EventFilter refusals;
  refusals.add_outcomes(v1::Event::REFUSED);
  refusals.add_gateways("edge-1");
  auto watcher = Watch(refusals);
  v1::EventFilter audits;
  audits.add_types(v1::Event::AUDIT);
  auto auditor = Watch(audits);
  report("edge-1", v1::Event::REFUSED, 0);
  report("edge-1", v1::Event::ALLOWED, 500);
  report("edge-2", v1::Event::ALLOWED, 7);
  report("edge-1", v1::Event::ALLOWED, 0);
  report("edge-1", v1::Event::REFUSED, 0);
  const std::vector<v1::Event> events = Read(*watcher);
  EXPECT_THAT(Routes(events), ElementsAre("edge-1", "GAP 500", "edge-1"));
  EXPECT_EQ(events[1].cursor().sequence(), 2u);
  EXPECT_THAT(events[1].detail(), HasSubstr("edge-1"));
  EXPECT_THAT(Read(*auditor), IsEmpty()) << "no gateway tells of these";
}

TEST_F(HubTest, PublishersAndWatchersOnManyThreadsLoseNothing) {
  Open();
  constexpr int kThreads = 3;
  constexpr uint64_t kEach = 500;
  std::atomic<uint64_t> total = 0;
  std::vector<std::thread> threads;
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < kThreads; ++i) watchers.push_back(Watch());
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (uint64_t n = 0; n < kEach; ++n) Publish("r");
    });
    threads.emplace_back([&, watcher = watchers[static_cast<size_t>(i)].get()] {
      uint64_t expected = 1;
      while (expected <= kThreads * kEach) {
        for (const v1::Event& event : Read(*watcher)) ASSERT_EQ(event.cursor().sequence(), expected++);
      }
      total += expected - 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, kThreads * kThreads * kEach);
}

}  // namespace
}  // namespace gatehouse::hub
