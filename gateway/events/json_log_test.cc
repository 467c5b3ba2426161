#include "gateway/events/json_log.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gatehouse/v1/event_service.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace gatehouse::events {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JsonLogTest : public ::testing::Test {
 protected:
  JsonLogTest() : path_(absl::StrCat(::testing::TempDir(), "/events-", getpid(), "-", ++files_, ".jsonl")) {}
  ~JsonLogTest() override {
    log_ = nullptr;
    std::filesystem::remove(path_);
    std::filesystem::remove(path_ + ".1");
  }
  absl::Status Open(size_t max_waiting = 1 << 20) {
    JsonLogOptions options;
    options.path = path_;
    options.max_waiting_bytes = max_waiting;
    options.trouble = [this](std::string text) {
      MutexLock lock(&mutex_);
      troubles_.push_back(std::move(text));
    };
    auto log = JsonLog::Open(std::move(options), clock_);
    if (log.ok()) log_ = *std::move(log);
    return log.status();
  }
  void Add(const std::vector<std::string>& details) {
    v1::WatchResponse batch;
    for (const std::string& detail : details) {
      batch.add_events()->set_detail(detail);
    }
    log_->Add(std::make_shared<const std::string>(batch.SerializeAsString()), details.size());
  }
  static std::vector<std::string> Lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  // Details of the events; a gap's count. Every line must be JSON.
  static std::vector<std::string> Told(const std::string& path) {
    std::vector<std::string> told;
    for (const std::string& line : Lines(path)) {
      v1::Event event;
      EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &event).ok()) << line;
      told.push_back(event.type() == v1::Event::GAP ? absl::StrCat("GAP ", event.missed()) : event.detail());
    }
    return told;
  }
  static bool Await(const std::function<bool()>& condition) {
    for (const absl::Time until = absl::Now() + absl::Seconds(20); absl::Now() < until;) {
      if (condition()) return true;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return false;
  }

  static inline int files_ = 0;
  const std::string path_;
  FakeClock clock_;
  Mutex mutex_;
  std::vector<std::string> troubles_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<JsonLog> log_;
};

TEST_F(JsonLogTest, WritesOneObjectALineAndOnlyTheOwnerReadsThem) {
  ASSERT_TRUE(Open().ok());
  Add({"a", "b"});
  Add({"c"});
  log_->Stop();
  EXPECT_THAT(Told(path_), ElementsAre("a", "b", "c"));
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(JsonLogTest, WhatStrangersChoseIsEscaped) {
  ASSERT_TRUE(Open().ok());
  const std::string hostile = "\x1b[2J\n\"}{\\ \xc2\x9b \xe2\x80\xae \xe2\x81\xa6 \x7f M\xc3\xbcller \xf0\x9f\x98\x80";
  Add({hostile});
  log_->Stop();
  const std::vector<std::string> lines = Lines(path_);
  ASSERT_EQ(lines.size(), 1u);
  for (const char* raw : {"\x1b", "\xc2\x9b", "\xe2\x80\xae", "\xe2\x81\xa6", "\x7f"}) EXPECT_FALSE(absl::StrContains(lines[0], raw));
  EXPECT_THAT(lines[0], HasSubstr("M\xc3\xbcller \xf0\x9f\x98\x80"));
  EXPECT_THAT(Told(path_), ElementsAre(hostile)) << "and says the same";
}

TEST_F(JsonLogTest, AppendsAndGoesOnUnderTheNameWhenTheFileWasMoved) {
  std::ofstream(path_) << "{\"detail\":\"before\"}\n";
  ASSERT_TRUE(Open().ok());
  Add({"a"});
  ASSERT_TRUE(Await([&] { return Told(path_).size() == 2; }));
  std::filesystem::rename(path_, path_ + ".1");
  ASSERT_TRUE(Await([&] {
    Add({"b"});
    return std::filesystem::exists(path_) && !Told(path_).empty();
  }));
  log_->Stop();
  EXPECT_THAT(Told(path_ + ".1"), ::testing::Contains("before"));
  EXPECT_EQ(Told(path_ + ".1")[1], "a");
  EXPECT_EQ(Told(path_).back(), "b");
}

TEST_F(JsonLogTest, AFileThatCannotBeOpenedIsNamed) {
  std::filesystem::create_directory(path_);
  EXPECT_THAT(std::string(Open().message()), HasSubstr(path_ + ": cannot be opened"));
}

TEST_F(JsonLogTest, AReaderThatDoesNotReadHoldsUpNobodyAndLosesWhatIsCounted) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  ASSERT_TRUE(Open(4 * 1000).ok());
  for (int i = 0; i < 1000; ++i) Add({std::string(1000, 'x')});
  const uint64_t lost = log_->lost();
  EXPECT_GT(lost, 500u) << "64 KiB are the pipe's, 4 KB ours";
  // It wakes up.
  std::string text;
  std::vector<char> buffer(65536);
  ASSERT_TRUE(Await([&] {
    Add({"after"});
    for (ssize_t n; (n = read(reader, buffer.data(), buffer.size())) > 0;) text.append(buffer.data(), static_cast<size_t>(n));
    return absl::StrContains(text, "after");
  }));
  EXPECT_THAT(text, HasSubstr("\"GAP\""));
  // In as many pieces as it woke up in between.
  uint64_t missed = 0;
  const std::regex number("\"missed\":\"([0-9]+)\"");
  for (std::sregex_iterator it(text.begin(), text.end(), number), end; it != end; ++it) missed += std::stoull((*it)[1]);
  EXPECT_GE(missed, lost);
  log_->Stop();
  EXPECT_LE(missed, log_->lost());
  close(reader);
}

TEST_F(JsonLogTest, WhatCannotBeWrittenIsLostCountedAndSaidLater) {
  ASSERT_TRUE(Open().ok());
  Add({"a"});
  ASSERT_TRUE(Await([&] { return Told(path_).size() == 1; }));
  // The name becomes a directory: nothing can be opened there.
  std::filesystem::rename(path_, path_ + ".1");
  std::filesystem::create_directory(path_);
  ASSERT_TRUE(Await([&] {
    Add({"lost"});
    return log_->lost() > 0;
  }));
  std::filesystem::remove(path_);
  ASSERT_TRUE(Await([&] {
    Add({"b"});
    return std::filesystem::is_regular_file(path_) && Lines(path_).size() > 1;
  }));
  log_->Stop();
  EXPECT_EQ(Told(path_)[0], absl::StrCat("GAP ", log_->lost()));
  EXPECT_EQ(Told(path_).back(), "b");
  MutexLock lock(&mutex_);
  EXPECT_THAT(troubles_, ElementsAre(HasSubstr("cannot be opened"), ""));
}

TEST_F(JsonLogTest, ADiskThatIsFullInTheMiddleOfManyLinesLosesWhatIsCounted) {
  struct FileLimit {
    FileLimit() {
      signal(SIGXFSZ, SIG_IGN);
      getrlimit(RLIMIT_FSIZE, &before);
      rlimit small = before;
      small.rlim_cur = 200'000;  // more than is written at a time
      setrlimit(RLIMIT_FSIZE, &small);
    }
    ~FileLimit() { setrlimit(RLIMIT_FSIZE, &before); }
    rlimit before;
  };
  ASSERT_TRUE(Open().ok());
  {
    FileLimit limit;
    Add(std::vector<std::string>(1000, std::string(987, 'x')));  // 1001 octets a line
    ASSERT_TRUE(Await([&] { return log_->lost() > 0; }));
  }
  EXPECT_EQ(std::filesystem::file_size(path_), 200'000u);
  Add({"after"});
  log_->Stop();
  const std::vector<std::string> lines = Lines(path_);
  ASSERT_EQ(lines.size(), 199u + 1 + 2) << "whole ones, what is left of one, and after it on lines of their own";
  EXPECT_THAT(lines[200], HasSubstr(R"("type":"GAP")"));
  EXPECT_THAT(lines[200], HasSubstr(R"("missed":"801")"));
  EXPECT_THAT(lines[201], HasSubstr("after"));
  EXPECT_EQ(log_->lost(), 801u);
}

TEST_F(JsonLogTest, ManyLinesInOneBatchAreAllThereInOrder) {
  ASSERT_TRUE(Open(16 << 20).ok());
  std::vector<std::string> details;
  for (int i = 0; i < 5000; ++i) details.push_back(absl::StrCat(i, std::string(static_cast<size_t>(i % 300), 'y')));
  Add(details);
  log_->Stop();
  EXPECT_EQ(Told(path_), details);
  EXPECT_EQ(log_->lost(), 0u);
}

}  // namespace
}  // namespace gatehouse::events
