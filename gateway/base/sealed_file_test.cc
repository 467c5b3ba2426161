#include "gateway/base/sealed_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <vector>

namespace gatehouse {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class SealedFileTest : public ::testing::Test {
 protected:
  SealedFileTest() {
    char name[] = "/tmp/gatehouse-file-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~SealedFileTest() override { std::filesystem::remove_all(folder_); }
  // On a disk that fails to sync a folder `failures` times.
  SealedFile Open(int failures = 0) {
    return SealedFile(folder_ / "state", "test", SecretBox(Secret(std::string(32, 'k'))), [left = failures](int fd) mutable {
      struct stat info;
      if (fstat(fd, &info) != 0 || !S_ISDIR(info.st_mode) || left-- <= 0) return fsync(fd);
      errno = EIO;
      return -1;
    });
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) names.push_back(entry.path().filename());
    return names;
  }

  std::filesystem::path folder_;
};

TEST_F(SealedFileTest, GivesBackWhatWasSavedLastAndLeavesNothingElse) {
  const SealedFile file = Open();
  EXPECT_TRUE(absl::IsNotFound(file.Load().status()));
  ASSERT_TRUE(file.Save("first").ok());
  ASSERT_TRUE(file.Save("second").ok());
  EXPECT_EQ(*Open().Load(), "second");
  EXPECT_THAT(Names(), ElementsAre("state"));
}

TEST_F(SealedFileTest, WhatWasNotSavedIsNotThereAfterARestart) {
  ASSERT_TRUE(Open().Save("before").ok());
  const absl::Status status = Open(1).Save("refused");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot sync"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("may be there")));
  EXPECT_EQ(*Open().Load(), "before");
  EXPECT_THAT(Names(), ElementsAre("state"));
  ASSERT_TRUE(Open().Save("after").ok());
  EXPECT_EQ(*Open().Load(), "after");
}

TEST_F(SealedFileTest, AFirstOneThatWasNotSavedIsNotThereAfterARestart) {
  EXPECT_FALSE(Open(1).Save("refused").ok());
  EXPECT_TRUE(absl::IsNotFound(Open().Load().status()));
}

TEST_F(SealedFileTest, OnADiskThatDoesNotTakeTheOldOneBackTheErrorSaysSo) {
  ASSERT_TRUE(Open().Save("before").ok());
  EXPECT_THAT(std::string(Open(2).Save("refused").message()), EndsWith("; what was to be saved may be there after a restart"));
  EXPECT_EQ(*Open().Load(), "before");
}

TEST_F(SealedFileTest, WhatACrashLeftBesideItIsInNobodysWay) {
  ASSERT_TRUE(Open().Save("before").ok());
  for (const char* name : {"state.new", "state.old"}) std::filesystem::copy(folder_ / "state", folder_ / name);
  ASSERT_TRUE(Open().Save("after").ok());
  EXPECT_EQ(*Open().Load(), "after");
  EXPECT_THAT(Names(), ElementsAre("state"));
}

}  // namespace
}  // namespace gatehouse
