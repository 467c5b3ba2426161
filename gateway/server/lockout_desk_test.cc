#include "gateway/server/lockout_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace gatehouse::server {
namespace {

using credentials::Throttle;
using credentials::ThrottleOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LockoutDeskTest : public ::testing::Test {
 protected:
  LockoutDeskTest() {
    char name[] = "/tmp/lockouts-XXXXXX";
    folder_ = mkdtemp(name);
    Begin();
  }
  ~LockoutDeskTest() override {
    desk_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string file() const { return folder_ + "/lockouts.sealed"; }
  void Begin() {
    auto desk = LockoutDesk::Open({.clock = &clock_, .file = file(), .key_file = folder_ + "/key"});
    ASSERT_TRUE(desk.ok()) << desk.status();
    desk_ = *std::move(desk);
    desk_->Start([this](events::Event event) {
      MutexLock lock(&mutex_);
      told_.push_back(event.facts->detail);
      changed_.SignalAll();
    });
  }
  void Restart() {
    desk_.reset();
    Begin();
  }
  void Fail(int n, absl::string_view user, absl::string_view address) {
    for (int i = 0; i < n;) {
      auto begun = desk_->throttle().Begin({"Basic", user, credentials::AddressKey(address), true}, options_);
      if (auto* refused = std::get_if<Throttle::Refused>(&begun)) {
        clock_.Advance(refused->retry_after);
        continue;
      }
      std::get<Throttle::Attempt>(begun).Failed();
      ++i;
    }
  }
  bool Refused(absl::string_view user, absl::string_view address) {
    auto begun = desk_->throttle().Begin({"Basic", user, credentials::AddressKey(address), true}, options_);
    return std::holds_alternative<Throttle::Refused>(begun);
  }
  std::vector<std::string> Told(size_t n) {
    MutexLock lock(&mutex_);
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (told_.size() < n && absl::Now() < end) changed_.WaitFor(&mutex_, absl::Milliseconds(50));
    return told_;
  }

  std::string folder_;
  FakeClock clock_;
  ThrottleOptions options_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> told_;
  std::unique_ptr<LockoutDesk> desk_;
};

TEST_F(LockoutDeskTest, ALockoutOutlivesARestart) {
  Fail(20, "ann", "192.0.2.1");
  Restart();
  EXPECT_TRUE(Refused("ann", "192.0.2.1"));
  EXPECT_FALSE(Refused("bob", "192.0.2.1"));
  clock_.Advance(options_.lockout);
  EXPECT_FALSE(Refused("ann", "192.0.2.1"));
}

TEST_F(LockoutDeskTest, ALockoutIsOnDiskBeforeTheProcessEnds) {
  Fail(20, "ann", "192.0.2.1");
  // As after SIGKILL: another desk reads what the first has written so far.
  const absl::Time end = absl::Now() + absl::Seconds(20);
  bool there = false;
  while (!there && absl::Now() < end) {
    auto other = LockoutDesk::Open({.clock = &clock_, .file = file(), .key_file = folder_ + "/key"});
    ASSERT_TRUE(other.ok());
    const std::vector<credentials::ThrottleEntry> found =
        (*other)->throttle().List({.user = "ann"}, [this](const std::string&) { return options_; });
    for (const credentials::ThrottleEntry& entry : found) there = there || entry.locked;
  }
  EXPECT_TRUE(there);
}

TEST_F(LockoutDeskTest, TellsOfLockouts) {
  Fail(20, "ann", "2001:db8::1");
  EXPECT_THAT(Told(1), ElementsAre("user \"ann\" from 2001:db8::/64 is locked out for 15m after 20 failures"));
}

TEST_F(LockoutDeskTest, NothingIsReadableInTheFile) {
  Fail(20, "somebody-with-a-name", "192.0.2.1");
  desk_.reset();
  std::ifstream in(file(), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  EXPECT_GT(bytes.size(), 100u);
  EXPECT_EQ(bytes.find("somebody"), std::string::npos);
  EXPECT_EQ(bytes.find("Basic"), std::string::npos);
  struct stat info;
  ASSERT_EQ(stat(file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(LockoutDeskTest, ADamagedFileIsPutAsideLoudlyAndNobodyIsShutOut) {
  Fail(20, "ann", "192.0.2.1");
  desk_.reset();
  std::filesystem::resize_file(file(), std::filesystem::file_size(file()) - 1);
  Told(1);
  told_.clear();
  Begin();
  const std::vector<std::string> told = Told(1);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], HasSubstr("the saved lock-outs are not used, guessers begin anew"));
  EXPECT_TRUE(std::filesystem::exists(file() + ".damaged"));
  EXPECT_FALSE(Refused("ann", "192.0.2.1"));
}

TEST_F(LockoutDeskTest, AnotherKeyOpensNothing) {
  Fail(20, "ann", "192.0.2.1");
  desk_.reset();
  std::filesystem::remove(folder_ + "/key");
  Begin();
  EXPECT_FALSE(Refused("ann", "192.0.2.1"));
  EXPECT_THAT(Told(2).back(), HasSubstr("guessers begin anew"));
}

TEST_F(LockoutDeskTest, AFileThatCannotBeWrittenIsToldOfOnceAndStopsNothing) {
  desk_.reset();
  // A directory in the place of the file that is written beside: nobody can write there, root neither.
  std::filesystem::create_directories(file() + ".new/x");
  Begin();
  Fail(20, "ann", "192.0.2.1");
  EXPECT_THAT(Told(2).back(), HasSubstr("are not saved"));
  EXPECT_TRUE(Refused("ann", "192.0.2.1"));
  desk_->Stop();
  EXPECT_GE(desk_->save_failures(), 2u);
  EXPECT_EQ(Told(2).size(), 2u);
}

TEST_F(LockoutDeskTest, AKeyThatOthersMayReadIsRefused) {
  ASSERT_EQ(chmod((folder_ + "/key").c_str(), 0644), 0);
  const auto desk = LockoutDesk::Open({.clock = &clock_, .file = file(), .key_file = folder_ + "/key"});
  EXPECT_EQ(desk.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(LockoutDeskInMemoryTest, WorksWithoutAFile) {
  FakeClock clock;
  auto desk = LockoutDesk::Open({.clock = &clock});
  ASSERT_TRUE(desk.ok());
  (*desk)->Start([](const events::Event&) {});
  auto begun = (*desk)->throttle().Begin({"Basic", "ann", "a"}, {});
  std::get<Throttle::Attempt>(begun).Failed();
  EXPECT_EQ((*desk)->throttle().size(), 3u);
}

}  // namespace
}  // namespace gatehouse::server
