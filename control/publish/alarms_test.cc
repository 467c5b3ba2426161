#include "control/publish/alarms.h"

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace gatehouse::publish {
namespace {

TEST(AlarmsTest, RingsWhatIsDueOneAfterTheOther) {
  Alarms alarms;
  absl::Notification rung;
  alarms.After(absl::InfiniteDuration(), [] { FAIL() << "never"; });
  alarms.After(absl::ZeroDuration(), [&] { alarms.After(-absl::Seconds(1), [&] { rung.Notify(); }); });
  rung.WaitForNotification();
}

TEST(AlarmsTest, NothingRunsOnceTheyWereStopped) {
  Alarms alarms;
  absl::Notification running, stopping;
  std::atomic<bool> over = false;
  std::atomic<bool> dropped = false;
  alarms.After(absl::ZeroDuration(), [&] {
    running.Notify();
    stopping.WaitForNotification();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    over = true;
  });
  running.WaitForNotification();
  alarms.After(absl::Hours(1), [&] { dropped = true; });
  stopping.Notify();
  alarms.Stop();
  EXPECT_TRUE(over) << "it was waited for";
  alarms.After(absl::ZeroDuration(), [&] { dropped = true; });
  alarms.Stop();
  EXPECT_FALSE(dropped);
}

}  // namespace
}  // namespace gatehouse::publish
