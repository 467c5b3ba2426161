#include "gateway/server/watched_crls.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "gateway/certs/test_revocation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class WatchedCrlsTest : public ::testing::Test {
 protected:
  WatchedCrlsTest() {
    std::string name = ::testing::TempDir() + "crls-XXXXXX";
    folder_ = mkdtemp(name.data());
    watched_.emplace(
        [this](const std::string& file, std::vector<certs::CrlRef> lists) {
          MutexLock lock(&mutex_);
          held_.emplace_back(file.substr(folder_.size() + 1), lists.size());
          changed_.SignalAll();
        },
        [this](const std::string& text) {
          MutexLock lock(&mutex_);
          problems_.push_back(text);
          changed_.SignalAll();
        },
        absl::Milliseconds(5));
  }
  ~WatchedCrlsTest() override {
    watched_ = std::nullopt;
    std::filesystem::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name) {
    std::ofstream(Path(name), std::ios::binary) << certs::Der(certs::List(), certs::Root("CN=Root", 0));
  }
  // Waits until so many changes and problems were told, and gives them.
  std::pair<std::vector<std::pair<std::string, size_t>>, std::vector<std::string>> Told(size_t changes, size_t problems) {
    MutexLock lock(&mutex_);
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while ((held_.size() < changes || problems_.size() < problems) && absl::Now() < end) {
      changed_.WaitFor(&mutex_, absl::Milliseconds(50));
    }
    return {held_, problems_};
  }

  std::string folder_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::pair<std::string, size_t>> held_ ABSL_GUARDED_BY(mutex_);  // file, how many lists: as told
  std::vector<std::string> problems_ ABSL_GUARDED_BY(mutex_);
  std::optional<WatchedCrls> watched_;
};

// `openssl rehash` makes links, and who takes a list away may leave its link behind.
TEST_F(WatchedCrlsTest, ALinkThatLeadsNowhereWithdrawsNoListOfItsDirectory) {
  Write("ca.crl");
  std::filesystem::create_symlink("nowhere", Path("0a1b2c3d.r0"));
  watched_->Add({folder_});
  const auto [held, problems] = Told(1, 1);
  EXPECT_THAT(held, ElementsAre(Pair("ca.crl", 1)));
  EXPECT_THAT(problems, ElementsAre(HasSubstr("/0a1b2c3d.r0: No such file")));
}

TEST_F(WatchedCrlsTest, ALinkThatCameToLeadNowhereKeepsItsListUntilItIsRemoved) {
  Write("ca.crl");
  Write(".target");
  std::filesystem::create_symlink(".target", Path("link.crl"));
  watched_->Add({folder_});
  EXPECT_THAT(Told(2, 0).first, ElementsAre(Pair("ca.crl", 1), Pair("link.crl", 1)));
  std::filesystem::remove(Path(".target"));
  EXPECT_THAT(Told(2, 1).second, ElementsAre(HasSubstr("/link.crl: No such file")));
  std::filesystem::remove(Path("link.crl"));
  const auto [held, problems] = Told(3, 1);
  EXPECT_THAT(held, ElementsAre(Pair("ca.crl", 1), Pair("link.crl", 1), Pair("link.crl", 0)));
  EXPECT_EQ(problems.size(), 1u);
}

}  // namespace
}  // namespace gatehouse::server
