// The wall clock is set back by an hour: whatever waits or looks goes on in its time. A program of its own, for it takes the
// place of the system's clock.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/lib/target.h"
#include "gateway/base/fair_executor.h"
#include "gateway/base/steady.h"
#include "gateway/certs/test_pki.h"
#include "gateway/events/json_log.h"
#include "gateway/fetch/curl_fetcher.h"
#include "gateway/remote/subscriber.h"
#include "gateway/remote/uplink.h"
#include "gateway/server/access_logs.h"
#include "gateway/server/fake_gateway.h"
#include "gateway/server/live_judge.h"
#include "gateway/server/lockout_desk.h"
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
  static void SetBack() {
    g_ahead = -3600;
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    // absl looks at the system's clock always at first, and every two seconds later.
    ASSERT_TRUE(Await([&] { return absl::Now() < absl::TimeFromTimespec(now) + absl::Minutes(1); }));
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

TEST_F(ClockStepTest, AReaderOfTheAccessLogHoldsUpTheEndNoLonger) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
  const std::string filling(4096, 'x');
  while (write(ends[1], filling.data(), filling.size()) > 0) {}
  server::AccessLogs::Options options;
  options.standard_output = ends[1];
  server::AccessLogs logs(std::move(options));
  logs.Begin(0, std::make_shared<config::AccessLog>())->append("nobody reads this\n");
  logs.Commit(0);
  logs.Start();
  std::atomic<bool> stopped{false};
  std::thread stopping([&] {
    logs.Stop();
    stopped = true;
  });
  usleep(100'000);
  SetBack();
  EXPECT_TRUE(Await([&] { return stopped.load(); }));
  std::string taken(1 << 20, '\0');
  while (read(ends[0], taken.data(), taken.size()) > 0) {}
  stopping.join();
  for (int end : ends) close(end);
}

TEST_F(ClockStepTest, LockOutsAreSavedAgain) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/clock-step-", getpid(), ".sealed");
  SystemClock clock;
  auto desk = server::LockoutDesk::Open({.clock = &clock, .file = path, .key_file = path + ".key"});
  ASSERT_TRUE(desk.ok()) << desk.status();
  (*desk)->Start([](events::Event) {});
  (*desk)->Clear({}, [](absl::string_view) { return credentials::ThrottleOptions(); }, "all");  // saved at once
  ASSERT_TRUE(Await([&] { return (*desk)->unsaved() == 0; }));
  SetBack();
  auto begun = (*desk)->throttle().Begin({"Basic", "alice", credentials::AddressKey("10.1.2.3"), true}, {});
  std::get<credentials::Throttle::Attempt>(begun).Failed();
  ASSERT_GT((*desk)->unsaved(), 0u);
  EXPECT_TRUE(Await([&] { return (*desk)->unsaved() == 0; }));
  desk->reset();
  std::filesystem::remove(path);
  std::filesystem::remove(path + ".key");
}

TEST_F(ClockStepTest, AFetchThatWaitsForOthersIsGivenUpInItsTime) {
  const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(silent, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent, 8), 0);
  ASSERT_EQ(getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::atomic<int> ended{0};
  {
    fetch::CurlFetcherOptions options;
    options.max_running_per_host = 1;
    fetch::CurlFetcher fetcher(options);
    for (int i = 0; i < 2; ++i) {
      fetch::FetchRequest request;
      request.url = absl::StrCat("http://127.0.0.1:", ntohs(address.sin_port), "/");
      request.timeout = absl::Milliseconds(500);
      request.stall = absl::Minutes(1);
      request.rules = std::make_shared<const fetch::AddressRules>(
          std::vector<AddressRange>{*ParseAddressRange("127.0.0.0/8")}, std::vector<AddressRange>());
      fetcher.Fetch(std::move(request),
                    [&](fetch::FetchResult result) { ended += result.error == fetch::FetchError::kTimedOut; });
    }
    usleep(100'000);
    SetBack();
    EXPECT_TRUE(Await([&] { return ended == 2; }));
  }
  close(silent);
}

TEST_F(ClockStepTest, WhatAQueueIsExpectedToTakeGrowsByNoHour) {
  std::atomic<bool> runs{false}, go{false}, ran{false};
  FairExecutor executor(1, 8);
  const auto wait = [](const std::atomic<bool>& flag) {
    while (!flag) usleep(1000);
  };
  executor.Submit("a", [&](FairExecutor::Fate) {
    runs = true;
    wait(go);
  });
  wait(runs);
  g_ahead = 3600;
  executor.Submit("a", [&](FairExecutor::Fate) { ran = true; });
  go = true;
  wait(ran);
  go = runs = false;
  executor.Submit("a", [&](FairExecutor::Fate) {
    runs = true;
    wait(go);
  });
  wait(runs);
  executor.Submit("a", [](FairExecutor::Fate) {});
  EXPECT_LT(executor.ExpectedWait(), absl::Minutes(1));
  go = true;
}

class SilentFetcher final : public fetch::Fetcher {
 public:
  void Fetch(fetch::FetchRequest, absl::AnyInvocable<void(fetch::FetchResult)> done) override {
    MutexLock lock(&mutex_);
    pending_.push_back(std::move(done));
  }
  void FailAll() {
    MutexLock lock(&mutex_);
    for (auto& done : pending_) done({.error = fetch::FetchError::kTimedOut, .detail = "at last", .body = "", .took = {}});
    pending_.clear();
  }

 private:
  Mutex mutex_;
  std::vector<absl::AnyInvocable<void(fetch::FetchResult)>> pending_;
};

TEST_F(ClockStepTest, AnExplanationWaitsNoLongerForAResponder) {
  FakeClock clock(certs::kTestNow);
  auto fetcher = std::make_unique<SilentFetcher>();
  SilentFetcher* const silent = fetcher.get();
  server::RevocationDesk::Options options;
  options.clock = &clock;
  options.fetcher = std::move(fetcher);
  options.period = absl::ZeroDuration();
  auto desk = server::RevocationDesk::Open(std::move(options));
  ASSERT_TRUE(desk.ok()) << desk.status();
  const certs::Authority ca = certs::Root("CN=Root", 0);
  certs::SchemeOptions scheme;
  scheme.trust_store = certs::Store({ca.certificate});
  scheme.revocation.mode = certs::RevocationMode::kOnline;
  scheme.revocation.ocsp_url = "http://ocsp.test/";
  scheme.revocation.timeout = absl::Milliseconds(200);
  std::atomic<bool> judged{false};
  std::thread asking([&] {
    const std::vector<certs::CertificateRef> chain = {certs::Leaf(ca, "CN=alice")};
    const certs::Verdict verdict = server::JudgeLive(chain, scheme, certs::kTestNow, desk->get(), false, nullptr);
    EXPECT_EQ(verdict.reason, Reason::kRevocationUnknown);
    judged = true;
  });
  ASSERT_TRUE(Await([&] { return (*desk)->sizes().flights == 1; }));
  SetBack();
  EXPECT_TRUE(Await([&] { return judged.load(); }));
  silent->FailAll();
  asking.join();
}

}  // namespace
}  // namespace gatehouse
