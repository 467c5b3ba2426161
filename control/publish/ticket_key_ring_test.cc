#include "control/publish/ticket_key_ring.h"

#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "gateway/base/mutex.h"

namespace gatehouse::publish {
namespace {

// What one gateway was given.
class Gateway {
 public:
  explicit Gateway(TicketKeyRing* ring) {
    line_ = ring->Add([this](v1::TicketKeys keys) {
      MutexLock lock(&mutex_);
      given_.push_back(std::move(keys));
      changed_.SignalAll();
    });
  }
  // The first `n` messages.
  std::vector<v1::TicketKeys> Wait(size_t n) {
    MutexLock lock(&mutex_);
    while (given_.size() < n) {
      if (!changed_.WaitFor(&mutex_, absl::Seconds(10))) break;
    }
    return given_;
  }
  void Leave() { line_ = nullptr; }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<v1::TicketKeys> given_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<TicketKeyRing::Line> line_;
};

TEST(TicketKeyRingTest, EverybodyHasTheSameKeysAtOnce) {
  Alarms alarms;
  SystemClock clock;
  TicketKeyRing ring(absl::Hours(1), clock, alarms);
  Gateway a(&ring), b(&ring);
  v1::TicketKeys first = a.Wait(1).at(0);
  ASSERT_EQ(first.keys_size(), 1);
  EXPECT_EQ(first.SerializeAsString(), b.Wait(1).at(0).SerializeAsString());
  EXPECT_EQ(first.keys(0).name().size(), 16u);
  EXPECT_EQ(first.keys(0).secret().size(), 64u);
  EXPECT_EQ(first.keys(0).accept_until().seconds() - first.keys(0).issue_until().seconds(), 3600);
  // Another ring, as after a restart, has others.
  TicketKeyRing other(absl::Hours(1), clock, alarms);
  EXPECT_NE(Gateway(&other).Wait(1).at(0).keys(0).name(), first.keys(0).name());
  a.Leave();
  b.Leave();
}

TEST(TicketKeyRingTest, EachPeriodBringsANewKeyAndKeepsTheOneBeforeForOneMore) {
  Alarms alarms;
  SystemClock clock;
  TicketKeyRing ring(absl::Milliseconds(20), clock, alarms);
  Gateway gateway(&ring);
  std::vector<v1::TicketKeys> given = gateway.Wait(5);
  ASSERT_GE(given.size(), 5u);
  std::set<std::string> names, secrets;
  for (size_t i = 1; i < given.size(); ++i) {
    ASSERT_GE(given[i].keys_size(), 1);
    EXPECT_LE(given[i].keys_size(), 3);  // an alarm may be late, and is never early
    EXPECT_NE(given[i].keys(0).name(), given[i - 1].keys(0).name());
    if (given[i].keys_size() > 1) {
      EXPECT_EQ(given[i].keys(1).name(), given[i - 1].keys(0).name());
    }
    names.insert(given[i].keys(0).name());
    secrets.insert(given[i].keys(0).secret());
  }
  EXPECT_EQ(names.size(), given.size() - 1);
  EXPECT_EQ(secrets.size(), given.size() - 1);
  gateway.Leave();
}

TEST(TicketKeyRingTest, ReplacedKeysAreAcceptedByNobodyWhoStays) {
  Alarms alarms;
  SystemClock clock;
  TicketKeyRing ring(absl::Hours(1), clock, alarms);
  Gateway removed(&ring), stays(&ring);
  const v1::TicketKeys before = stays.Wait(1).at(0);
  removed.Leave();
  ring.Replace();
  const std::vector<v1::TicketKeys> given = stays.Wait(2);
  ASSERT_EQ(given.size(), 2u);
  ASSERT_EQ(given[1].keys_size(), 1);
  EXPECT_NE(given[1].keys(0).name(), before.keys(0).name());
  EXPECT_NE(given[1].keys(0).secret(), before.keys(0).secret());
  EXPECT_EQ(removed.Wait(1).size(), 1u);
  // Who comes later has the same.
  Gateway late(&ring);
  EXPECT_EQ(late.Wait(1).at(0).SerializeAsString(), given[1].SerializeAsString());
  stays.Leave();
  late.Leave();
}

TEST(TicketKeyRingTest, WhoLeftIsGivenNothingAndTheRingMayGoFirst) {
  Alarms alarms;
  SystemClock clock;
  auto ring = std::make_unique<TicketKeyRing>(absl::Milliseconds(10), clock, alarms);
  Gateway gone(ring.get()), stays(ring.get());
  gone.Leave();
  const size_t had = gone.Wait(1).size();
  stays.Wait(4);
  EXPECT_EQ(gone.Wait(1).size(), had);
  stays.Leave();
  ring = nullptr;
}

}  // namespace
}  // namespace gatehouse::publish
