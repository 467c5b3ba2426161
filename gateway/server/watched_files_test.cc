#include "gateway/server/watched_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WatchedFilesTest : public ::testing::Test {
 protected:
  WatchedFilesTest() {
    std::string name = ::testing::TempDir() + "watched-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~WatchedFilesTest() override {
    watched_ = std::nullopt;
    std::filesystem::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    std::ofstream(Path(name)) << content;
  }
  void Swap(const std::string& link, const std::string& target) {
    std::filesystem::create_symlink(target, Path("new"));
    std::filesystem::rename(Path("new"), Path(link));
  }
  void Watch(std::vector<std::string> paths) {
    watched_->Watch("test", std::move(paths), [this] {
      MutexLock lock(&mutex_);
      ++calls_;
      called_.SignalAll();
    });
  }
  // Waits for the n-th call since the test began.
  bool Called(int n) {
    MutexLock lock(&mutex_);
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (calls_ < n && absl::Now() < end) called_.WaitFor(&mutex_, absl::Milliseconds(50));
    return calls_ == n;
  }

  std::string folder_;
  Mutex mutex_;
  CondVar called_;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<WatchedFiles> watched_{absl::Milliseconds(5)};
};

TEST_F(WatchedFilesTest, TellsOnceAtFirstAndThenEachChange) {
  Write("a", "one");
  Watch({Path("a")});
  EXPECT_TRUE(Called(1));
  Write("a", "two2");
  EXPECT_TRUE(Called(2));
  std::filesystem::remove(Path("a"));
  EXPECT_TRUE(Called(3));
  Write("a", "three");
  EXPECT_TRUE(Called(4));
}

TEST_F(WatchedFilesTest, ASwappedSymlinkIsAChangeOfTheFilesBehindIt) {
  // As Kubernetes mounts a secret: tls.crt -> ..data/tls.crt, ..data -> ..1
  Write("..1/tls.crt", "one");
  Write("..2/tls.crt", "two");
  Swap("..data", "..1");
  Swap("tls.crt", "..data/tls.crt");
  Watch({Path("tls.crt")});
  ASSERT_TRUE(Called(1));
  Swap("..data", "..2");
  EXPECT_TRUE(Called(2));
  EXPECT_EQ(*ReadFile(Path("tls.crt"), 10), "two");
}

TEST_F(WatchedFilesTest, ADirectoryStandsForItsFiles) {
  Write("d/b.crl", "b");
  Write("d/a.crl", "a");
  Write("d/.hidden", "h");
  std::filesystem::create_directories(Path("d/below"));
  Watch({Path("d")});
  ASSERT_TRUE(Called(1));
  Write("d/c.crl", "c");
  ASSERT_TRUE(Called(2));
  Write("d/a.crl", "aa");
  ASSERT_TRUE(Called(3));
  auto files = ReadFiles(Path("d"), 10);
  ASSERT_TRUE(files.ok()) << files.status();
  std::vector<std::string> contents;
  for (const FileContent& file : *files) contents.push_back(file.content.value_or("not read"));
  EXPECT_THAT(contents, ElementsAre("aa", "b", "c"));
  EXPECT_TRUE(ReadFiles(Path("d"), 10, 4).ok());
  EXPECT_THAT(ReadFiles(Path("d"), 10, 3).status().message(), HasSubstr("/d: over 3 octets together"));
}

TEST_F(WatchedFilesTest, TheSamePathsAgainGoOnWhereTheyWere) {
  Write("a", "one");
  Write("b", "one");
  Watch({Path("a")});
  ASSERT_TRUE(Called(1));
  Watch({Path("a")});
  Write("a", "two2");
  EXPECT_TRUE(Called(2)) << "a call for the same paths again would have come too";
  Watch({Path("a"), Path("b")});
  EXPECT_TRUE(Called(3)) << "others are told of once";
}

TEST_F(WatchedFilesTest, WhatIsNoLongerWatchedIsNotTold) {
  Write("a", "one");
  Watch({Path("a")});
  ASSERT_TRUE(Called(1));
  Watch({});
  Write("a", "two2");
  Write("b", "one");
  Watch({Path("b")});  // its first call comes after polls that would have seen `a`
  EXPECT_TRUE(Called(2));
}

TEST_F(WatchedFilesTest, WhatCannotBeReadNamesPathAndCause) {
  auto absent = ReadFile(Path("absent"), 10);
  EXPECT_EQ(absent.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(absent.status().message(), HasSubstr(Path("absent") + ": No such file"));
  Write("big", "12345678901");
  EXPECT_THAT(ReadFile(Path("big"), 10).status().message(), HasSubstr("over 10 octets"));
  EXPECT_EQ(ReadFile(Path("big"), 11)->size(), 11u);
  EXPECT_THAT(ReadFile(folder_, 10).status().message(), HasSubstr("no regular file"));
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadFile(Path("pipe"), 10).status().message(), HasSubstr("no regular file")) << "and does not wait for it";
  EXPECT_FALSE(ReadFiles(Path("absent"), 10).ok());
}

TEST_F(WatchedFilesTest, OneOfADirectoryThatCannotBeReadSpoilsNoOther) {
  Write("d/a.crl", "a");
  Write("d/long.crl", "12345678901");
  Swap("d/gone.crl", "nowhere");
  const auto files = ReadFiles(Path("d"), 10);
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 3u);
  EXPECT_EQ(files->at(0).content.value_or(""), "a");
  EXPECT_THAT(files->at(1).content.status().message(), HasSubstr("/d/gone.crl: No such file"));
  EXPECT_THAT(files->at(2).content.status().message(), HasSubstr("/d/long.crl: over 10 octets"));
}

TEST_F(WatchedFilesTest, ALongFileTakesNoMoreMemoryThanItsSize) {
  Write("long", std::string(5'000'000, 'x'));
  const std::string content = *ReadFile(Path("long"), 6'000'000);
  EXPECT_EQ(content.size(), 5'000'000u);
  EXPECT_LT(content.capacity(), 5'100'000u);
}

}  // namespace
}  // namespace gatehouse::server
