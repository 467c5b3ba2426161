#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "absl/time/clock.h"
#include "control/events/hub.h"
#include "gtest/gtest.h"

namespace {

std::atomic<bool> g_backwards = false;
std::atomic<int64_t> g_looks = 0;

}  // namespace

// The C library's, but for a wall clock that can be made to go back by an hour whenever somebody looks at it.
extern "C" int clock_gettime(clockid_t id, struct timespec* time) {
  const int rc = static_cast<int>(syscall(SYS_clock_gettime, id, time));
  if (rc == 0 && id == CLOCK_REALTIME && g_backwards) time->tv_sec -= 3600 * ++g_looks;
  return rc;
}

namespace gatehouse::hub {
namespace {

class WallClockTest : public ::testing::Test {
 protected:
  WallClockTest() { g_backwards = true; }
  ~WallClockTest() override { g_backwards = false; }

  void Wake() {
    MutexLock lock(&mutex_);
    ++wakes_;
    changed_.SignalAll();
  }
  bool Woken(int times) {
    MutexLock lock(&mutex_);
    while (wakes_ < times) {
      if (!changed_.WaitFor(&mutex_, absl::Seconds(5))) break;
    }
    return wakes_ == times;
  }
  static size_t Read(Watcher& watcher) {
    std::vector<Watcher::Piece> pieces;
    return watcher.Next(100, 1 << 20, &pieces).events;
  }

  Mutex mutex_;
  CondVar changed_;
  int wakes_ ABSL_GUARDED_BY(mutex_) = 0;
  FakeClock clock_;
};

TEST_F(WallClockTest, WatchersAreWokenThoughTheClockIsSetBack) {
  absl::Now();
  EXPECT_GT(g_looks, 0);
  Hub hub(clock_);
  auto watcher = hub.Watch({}, [this] { Wake(); });
  ASSERT_TRUE(watcher.ok());
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(Read(**watcher), 0u);
    hub.PublishOne({});
    ASSERT_TRUE(Woken(i)) << i;
    EXPECT_EQ(Read(**watcher), 1u);
  }
}

}  // namespace
}  // namespace gatehouse::hub
