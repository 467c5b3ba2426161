#include "gateway/base/fair_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "absl/strings/str_cat.h"

namespace gatehouse {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Fate = FairExecutor::Fate;

// One thread, held busy until Go: what is submitted meanwhile waits, and then runs in the executor's order.
class FairExecutorTest : public ::testing::Test {
 protected:
  void Hold(size_t room) {
    executor_ = std::make_unique<FairExecutor>(1, room);
    HoldIt();
  }
  void HoldIt() {
    ASSERT_TRUE(executor_->Submit("holder", [this](Fate) {
      MutexLock lock(&mutex_);
      held_ = true;
      changed_.SignalAll();
      while (held_) changed_.Wait(&mutex_);
    }));
    MutexLock lock(&mutex_);
    while (!held_) changed_.Wait(&mutex_);
  }
  bool Submit(const std::string& key, const std::string& name) {
    return executor_->Submit(key, [this, name](Fate fate) {
      MutexLock lock(&mutex_);
      (fate == Fate::kRun ? ran_ : dropped_).push_back(name);
      changed_.SignalAll();
    });
  }
  bool Submit(const std::string& key, const std::string& prefix, int n) {
    bool all = true;
    for (int i = 1; i <= n; ++i) all = Submit(key, absl::StrCat(prefix, i)) && all;
    return all;
  }
  std::vector<std::string> Go(size_t n) {
    MutexLock lock(&mutex_);
    held_ = false;
    changed_.SignalAll();
    while (ran_.size() < n) changed_.Wait(&mutex_);
    return ran_;
  }
  std::vector<std::string> dropped() {
    MutexLock lock(&mutex_);
    return dropped_;
  }
  void TearDown() override {
    {
      MutexLock lock(&mutex_);
      held_ = false;
      changed_.SignalAll();
    }
    executor_.reset();
  }

  Mutex mutex_;
  CondVar changed_;
  bool held_ = false;
  std::vector<std::string> ran_, dropped_;
  std::unique_ptr<FairExecutor> executor_;
};

TEST_F(FairExecutorTest, TakesTheKeysInTurn) {
  Hold(100);
  Submit("a", "a", 4);
  Submit("b", "b", 2);
  Submit("c", "c", 1);
  EXPECT_THAT(Go(7), ElementsAre("a1", "b1", "c1", "a2", "b2", "a3", "a4"));
}

TEST_F(FairExecutorTest, LetsOneKeyAloneUseAllTheRoom) {
  Hold(1000);
  EXPECT_TRUE(Submit("nat", "n", 1000));
  EXPECT_FALSE(Submit("nat", "one too many"));
  EXPECT_EQ(executor_->queued(), 1000u);
  EXPECT_EQ(executor_->turned_away(), 1u);
  EXPECT_EQ(Go(1000).size(), 1000u);
  EXPECT_THAT(dropped(), IsEmpty());
}

TEST_F(FairExecutorTest, GivesWhoHasLessWaitingThePlaceOfTheLongestQueuesNewest) {
  Hold(4);
  Submit("guesser", "g", 4);
  EXPECT_TRUE(Submit("ann", "ann1"));
  EXPECT_THAT(dropped(), ElementsAre("g4"));
  EXPECT_TRUE(Submit("ann", "ann2"));
  EXPECT_THAT(dropped(), ElementsAre("g4", "g3"));
  EXPECT_FALSE(Submit("ann", "ann3")) << "two against two is even";
  EXPECT_FALSE(Submit("guesser", "g5"));
  EXPECT_TRUE(Submit("bob", "bob1")) << "two against none is not";
  EXPECT_EQ(executor_->queued(), 4u);
  EXPECT_EQ(Go(4).size(), 4u);
}

TEST_F(FairExecutorTest, RefusesNewcomersWhereEverybodyHasOneWaiting) {
  Hold(3);
  for (const char* key : {"a", "b", "c"}) EXPECT_TRUE(Submit(key, key));
  EXPECT_FALSE(Submit("d", "d"));
  EXPECT_THAT(Go(3), ElementsAre("a", "b", "c"));
  EXPECT_THAT(dropped(), IsEmpty());
}

TEST_F(FairExecutorTest, LeavesThreadsToOthersHoweverLongTheWorkOfOneKeyTakes) {
  executor_ = std::make_unique<FairExecutor>(2, 10, nullptr, 1);
  HoldIt();
  Submit("holder", "h", 2);
  Submit("b", "b", 2);
  {
    MutexLock lock(&mutex_);
    while (ran_.size() < 2) changed_.Wait(&mutex_);
    EXPECT_THAT(ran_, ElementsAre("b1", "b2"));
  }
  EXPECT_THAT(Go(4), ElementsAre("b1", "b2", "h1", "h2"));
}

TEST_F(FairExecutorTest, DropsWhatIsQueuedAtTheEndWithoutACall) {
  Hold(10);
  Submit("a", "a", 3);
  TearDown();
  EXPECT_THAT(dropped(), IsEmpty());
}

TEST_F(FairExecutorTest, KnowsHowLongTheQueueWillTake) {
  constexpr absl::Duration kTook = absl::Milliseconds(5);
  executor_ = std::make_unique<FairExecutor>(1, 100);
  EXPECT_EQ(executor_->ExpectedWait(), absl::ZeroDuration());
  executor_->Submit("a", [](Fate) {
    const absl::Time until = absl::Now() + kTook;
    while (absl::Now() < until) std::this_thread::yield();
  });
  HoldIt();
  Submit("b", "b", 10);
  EXPECT_GE(executor_->ExpectedWait(), 10 * kTook);
}

TEST_F(FairExecutorTest, EveryPieceOfWorkMeetsExactlyOneFate) {
  constexpr int kThreads = 4, kEach = 2000;
  std::atomic<int> ran{0}, dropped{0}, refused{0}, begun{0};
  {
    FairExecutor executor(2, 16, [&] { ++begun; });
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          const bool taken = executor.Submit(absl::StrCat(t < 2 ? 0 : i % 7),
                                             [&](Fate fate) { ++(fate == Fate::kRun ? ran : dropped); });
          if (!taken) ++refused;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    while (ran + dropped + refused < kThreads * kEach) std::this_thread::yield();
    EXPECT_EQ(executor.queued(), 0u);
    EXPECT_EQ(executor.turned_away(), static_cast<uint64_t>(dropped + refused));
  }
  EXPECT_EQ(ran + dropped + refused, kThreads * kEach);
  EXPECT_EQ(begun, 2);
}

}  // namespace
}  // namespace gatehouse
