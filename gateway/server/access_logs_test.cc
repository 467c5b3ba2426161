#include "gateway/server/access_logs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AccessLogsTest : public ::testing::Test {
 protected:
  AccessLogsTest() {
    char folder[] = "/tmp/access-logs-XXXXXX";
    folder_ = ::mkdtemp(folder);
  }
  ~AccessLogsTest() override {
    for (const char* name : {"a.log", "a.log.1", "b.log", "target"}) ::unlink(Path(name).c_str());
    ::rmdir(Path("d.log").c_str());
    ::rmdir(folder_.c_str());
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  config::AccessLogRef To(const std::string& name) const {
    auto log = std::make_shared<config::AccessLog>();
    if (!name.empty()) log->file = Path(name);
    return log;
  }
  static bool Write(AccessLogs& logs, const config::AccessLogRef& log, absl::string_view line, size_t worker = 0) {
    std::string* text = logs.Begin(worker, log);
    if (text == nullptr) return false;
    EXPECT_TRUE(text->empty());
    absl::StrAppend(text, line, "\n");
    logs.Commit(worker);
    return true;
  }
  std::string Read(const std::string& name) const {
    std::ifstream in(Path(name));
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  AccessLogs::Options Options() {
    AccessLogs::Options options;
    options.workers = 2;
    options.capacity = 4;
    options.on_notice = [this](const std::string& text, bool failed) { notices_.push_back(absl::StrCat(failed ? "failed: " : "again: ", text)); };
    return options;
  }
  // A configuration whose listener logs to `file`.
  static absl::Status Use(const std::string& file) {
    config::Snapshot snapshot;
    auto log = std::make_shared<config::AccessLog>();
    log->file = file;
    snapshot.listeners.emplace_back().name = "edge";
    snapshot.listeners.back().access_log = log;
    return AccessLogs::Use(snapshot);
  }

  std::string folder_;
  std::vector<std::string> notices_;
};

TEST_F(AccessLogsTest, WritesTheLinesOfAllWorkersToTheirFiles) {
  AccessLogs logs(Options());
  Write(logs, To("a.log"), "one");
  Write(logs, To("b.log"), "two", 1);
  Write(logs, To("a.log"), "three", 1);
  logs.WriteOnce();
  EXPECT_EQ(Read("a.log"), "one\nthree\n");
  EXPECT_EQ(Read("b.log"), "two\n");
  EXPECT_EQ(logs.written(), 3u);
  EXPECT_EQ(logs.lost(), 0u);
}

TEST_F(AccessLogsTest, MakesFilesThatOthersCannotReadAndAppends) {
  const mode_t before = ::umask(0);
  {
    AccessLogs logs(Options());
    Write(logs, To("a.log"), "one");
    logs.WriteOnce();
  }
  ::umask(before);
  struct stat info;
  ASSERT_EQ(::stat(Path("a.log").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  AccessLogs logs(Options());
  Write(logs, To("a.log"), "two");
  logs.WriteOnce();
  EXPECT_EQ(Read("a.log"), "one\ntwo\n");
}

TEST_F(AccessLogsTest, OpensAFileAnewThatWasMovedOrRemoved) {
  AccessLogs logs(Options());
  Write(logs, To("a.log"), "one");
  logs.WriteOnce();
  ASSERT_EQ(::rename(Path("a.log").c_str(), Path("a.log.1").c_str()), 0);
  Write(logs, To("a.log"), "two");
  logs.WriteOnce();
  EXPECT_EQ(Read("a.log.1"), "one\n");
  EXPECT_EQ(Read("a.log"), "two\n");
  ::unlink(Path("a.log").c_str());
  Write(logs, To("a.log"), "three");
  logs.WriteOnce();
  EXPECT_EQ(Read("a.log"), "three\n");
  EXPECT_TRUE(notices_.empty());
}

TEST_F(AccessLogsTest, LosesAndCountsWhatDoesNotFit) {
  AccessLogs logs(Options());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Write(logs, To("a.log"), absl::StrCat(i)));
  EXPECT_FALSE(Write(logs, To("a.log"), "lost"));
  EXPECT_TRUE(Write(logs, To("a.log"), "another worker's", 1));
  logs.WriteOnce();
  EXPECT_EQ(logs.lost(), 1u);
  EXPECT_TRUE(Write(logs, To("a.log"), "fits"));
  logs.WriteOnce();
  EXPECT_EQ(Read("a.log"), "0\n1\n2\n3\nanother worker's\nfits\n");
}

TEST_F(AccessLogsTest, TellsOnceThatALogCannotBeWrittenAndOnceThatItCanAgain) {
  AccessLogs logs(Options());
  ASSERT_EQ(::mkdir(Path("d.log").c_str(), 0700), 0);
  for (int i = 0; i < 3; ++i) {
    Write(logs, To("d.log"), "lost");
    logs.WriteOnce();
  }
  EXPECT_EQ(logs.lost(), 3u);
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_THAT(notices_[0], HasSubstr("failed: access log " + Path("d.log") + " cannot be opened"));
  ::rmdir(Path("d.log").c_str());
  Write(logs, To("d.log"), "back");
  logs.WriteOnce();
  EXPECT_EQ(Read("d.log"), "back\n");
  EXPECT_EQ(notices_.size(), 2u);
  ::unlink(Path("d.log").c_str());
}

TEST_F(AccessLogsTest, WritesThroughNoLinkAndToNoDevice) {
  std::ofstream(Path("target")) << "";
  ASSERT_EQ(::symlink(Path("target").c_str(), Path("a.log").c_str()), 0);
  EXPECT_THAT(std::string(Use(Path("a.log")).message()), HasSubstr("listeners[\"edge\"].access_log.file: "));
  ::unlink(Path("a.log").c_str());
  ASSERT_EQ(::link(Path("target").c_str(), Path("a.log").c_str()), 0);
  EXPECT_THAT(std::string(Use(Path("a.log")).message()), HasSubstr("hard links"));
  ::unlink(Path("a.log").c_str());
  ASSERT_EQ(::mkfifo(Path("a.log").c_str(), 0600), 0);
  EXPECT_FALSE(Use(Path("a.log")).ok()) << "and does not wait for a reader";
}

TEST_F(AccessLogsTest, TriesTheFilesOfAConfiguration) {
  EXPECT_TRUE(Use(Path("a.log")).ok());
  EXPECT_TRUE(Use("").ok()) << "standard output";
  EXPECT_THAT(std::string(Use(folder_ + "/none/a.log").message()), HasSubstr("cannot be opened: No such file or directory"));
}

TEST_F(AccessLogsTest, IsHeldUpByNoReaderOfStandardOutput) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ::fcntl(pipe[1], F_SETPIPE_SZ, 4096);
  AccessLogs::Options options = Options();
  options.standard_output = pipe[1];
  options.max_pending = 16 * 1024;
  AccessLogs logs(std::move(options));
  const std::string line(999, 'x');
  for (int i = 0; i < 100; ++i) {
    Write(logs, To(""), line);
    Write(logs, To("a.log"), "goes on");
    logs.WriteOnce();
  }
  EXPECT_GT(logs.lost(), 70u) << "the pipe and the bound are full";
  EXPECT_EQ(Read("a.log").size(), 100 * std::string("goes on\n").size());
  // What was taken comes whole once the reader is back.
  const uint64_t kept = 100 - logs.lost();
  std::string read;
  while (read.size() < kept * 1000) {
    char buffer[4096];
    const ssize_t n = ::read(pipe[0], buffer, sizeof buffer);
    ASSERT_GT(n, 0);
    read.append(buffer, static_cast<size_t>(n));
    logs.WriteOnce();
  }
  EXPECT_EQ(read, [&] {
    std::string all;
    for (uint64_t i = 0; i < kept; ++i) absl::StrAppend(&all, line, "\n");
    return all;
  }());
  EXPECT_EQ(logs.written(), 100 + kept);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_F(AccessLogsTest, WritesWhatIsLeftWhenItStops) {
  AccessLogs logs(Options());
  logs.Start();
  for (int i = 0; i < 4; ++i) Write(logs, To("a.log"), absl::StrCat(i));
  logs.Stop();
  EXPECT_EQ(Read("a.log"), "0\n1\n2\n3\n");
}

}  // namespace
}  // namespace gatehouse::server
