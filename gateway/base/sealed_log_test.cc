#include "gateway/base/sealed_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace gatehouse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SealedLogTest : public ::testing::Test {
 protected:
  SealedLogTest() {
    char name[] = "/tmp/gatehouse-log-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ / "log";
  }
  ~SealedLogTest() override { std::filesystem::remove_all(folder_); }
  SealedLog Open(char key = 'k') const { return SealedLog(path_, "test", SecretBox(Secret(std::string(32, key)))); }
  std::string Content() const {
    std::ostringstream out;
    out << std::ifstream(path_, std::ios::binary).rdbuf();
    return out.str();
  }
  void Overwrite(const std::string& content) const { std::ofstream(path_, std::ios::binary | std::ios::trunc) << content; }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(SealedLogTest, GivesBackWhatWasAppendedAndShowsNothingOfIt) {
  SealedLog log = Open();
  EXPECT_THAT(*log.Load(), IsEmpty());
  ASSERT_TRUE(log.Append("first secret").ok());
  ASSERT_TRUE(log.Append("").ok());
  EXPECT_THAT(*Open().Load(), ElementsAre("first secret", ""));
  EXPECT_EQ(Content().find("secret"), std::string::npos);
  EXPECT_EQ(log.bytes(), Content().size());
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
}

TEST_F(SealedLogTest, ARecordThatWasCutShortIsNone) {
  SealedLog log = Open();
  ASSERT_TRUE(log.Append("one").ok());
  const size_t whole = Content().size();
  ASSERT_TRUE(log.Append("two").ok());
  const std::string all = Content();
  for (size_t size = whole; size < all.size(); ++size) {
    Overwrite(all.substr(0, size));
    EXPECT_THAT(*Open().Load(), ElementsAre("one")) << size;
  }
}

TEST_F(SealedLogTest, AChangedRecordAnotherKeyAndAnotherOrderAreFoundOut) {
  SealedLog log = Open();
  ASSERT_TRUE(log.Append("one").ok());
  const size_t first = Content().size();
  ASSERT_TRUE(log.Append("two").ok());
  const std::string all = Content();
  EXPECT_EQ(Open('x').Load().status().code(), absl::StatusCode::kDataLoss);
  Overwrite(all.substr(first) + all.substr(0, first));
  EXPECT_THAT(std::string(Open().Load().status().message()), HasSubstr("record 0"));
  for (size_t i = 8; i < first; ++i) {
    std::string bad = all;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    Overwrite(bad);
    EXPECT_EQ(Open().Load().status().code(), absl::StatusCode::kDataLoss) << i;
  }
}

TEST_F(SealedLogTest, BeginsAnewAfterDrop) {
  SealedLog log = Open();
  ASSERT_TRUE(log.Append("one").ok());
  log.Drop();
  EXPECT_EQ(log.bytes(), 0u);
  EXPECT_THAT(*log.Load(), IsEmpty());
  ASSERT_TRUE(log.Append("two").ok());
  EXPECT_THAT(*log.Load(), ElementsAre("two"));
}

TEST_F(SealedLogTest, SaysWhichFileCannotBeWritten) {
  SealedLog log("/nowhere/log", "test", SecretBox(Secret(std::string(32, 'k'))));
  EXPECT_THAT(std::string(log.Append("x").message()), HasSubstr("/nowhere/log"));
}

}  // namespace
}  // namespace gatehouse
