// The wall clock is set back by an hour: whatever waits or looks goes on in its time. A program of its own, for it takes the
// place of the system's clock.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/lib/target.h"
#include "gateway/base/steady.h"
#include "gateway/events/json_log.h"
#include "gateway/remote/subscriber.h"
#include "gateway/remote/uplink.h"
#include "gateway/server/fake_gateway.h"
#include "gatehouse/v1/event_service.pb.h"

namespace {
std::atomic<int64_t> g_ahead{0};  // seconds
}  // namespace

extern "C" int clock_gettime(clockid_t id, struct timespec* time) {
  const int result = static_cast<int>(syscall(SYS_clock_gettime, id, time));
  if (result == 0 && id == CLOCK_REALTIME) time->tv_sec += g_ahead.load();
  return result;
}

namespace gatehouse {
namespace {

class ClockStepTest : public ::testing::Test {
 protected:
  ~ClockStepTest() override { g_ahead = 0; }
  void SetBack() {
    const absl::Time before = absl::Now();
    g_ahead = -3600;
    ASSERT_LT(absl::Now(), before);
  }
  static bool Await(const std::function<bool()>& condition) {
    for (const SteadyTime until = SteadyAfter(absl::Seconds(20)); SteadyNow() < until;) {
      if (condition()) return true;
      usleep(1000);
    }
    return false;
  }
};

TEST_F(ClockStepTest, AnUplinkTriesAgain) {
  std::atomic<int> tries{0};
  remote::Uplink uplink("far", [&]() -> std::shared_ptr<grpc::Channel> {
    ++tries;
    return nullptr;
  });
  events::Event event;
  const events::Event* batch[] = {&event};
  uplink.Add(batch);
  ASSERT_TRUE(Await([&] { return tries == 1; }));
  SetBack();
  EXPECT_TRUE(Await([&] { return tries >= 3; }));
}

TEST_F(ClockStepTest, WhoWaitsForAControlPlaneDoesNotWaitLonger) {
  SystemClock clock;
  server::FakeGateway gateway;
  remote::Subscriber::Options options;
  options.clock = &clock;
  options.targets.push_back(*client::ParseTarget("127.0.0.1:1", {}, true));
  remote::Subscriber subscriber(std::move(options), &gateway, nullptr);
  std::atomic<bool> waited{false};
  std::thread waiting([&] {
    subscriber.WaitInStep(absl::Milliseconds(200));
    waited = true;
  });
  usleep(50'000);
  SetBack();
  EXPECT_TRUE(Await([&] { return waited.load(); }));
  subscriber.EndWait();
  waiting.join();
}

TEST_F(ClockStepTest, ALogThatIsMovedAwayIsOpenedAnew) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/clock-step-", getpid(), ".jsonl");
  SystemClock clock;
  events::JsonLogOptions options;
  options.path = path;
  auto log = events::JsonLog::Open(std::move(options), clock);
  ASSERT_TRUE(log.ok()) << log.status();
  SetBack();
  std::filesystem::rename(path, path + ".1");
  EXPECT_TRUE(Await([&] {
    v1::WatchResponse batch;
    batch.add_events()->set_detail("later");
    (*log)->Add(std::make_shared<const std::string>(batch.SerializeAsString()), 1);
    return std::filesystem::exists(path);
  }));
  log->reset();
  std::filesystem::remove(path);
  std::filesystem::remove(path + ".1");
}

}  // namespace
}  // namespace gatehouse
