// The program as a process: what it prints, serves, refuses and how it ends. No gateway's listener is needed for that.
#include <fcntl.h>
#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gatehouse/v1/config_service.grpc.pb.h"
#include "gatehouse/v1/event_service.grpc.pb.h"
#include "gatehouse/v1/status_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse {
namespace {

using ::testing::HasSubstr;

// Program is one run of `gatehouse`, with its stdout and stderr in one pipe.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    arguments.insert(arguments.begin(), GATEHOUSE_PROGRAM);
    std::vector<char*> argv;  // before the fork: gRPC's threads may hold the allocator's lock in it
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], 1);
      dup2(ends[1], 2);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(ends[1]);
    out_ = ends[0];
  }
  ~Program() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(out_);
  }

  // Reads until `text` was printed, or to the end; what was read so far.
  std::string ReadUntil(const std::string& text) {
    char buffer[4096];
    while (text.empty() || read_.find(text) == std::string::npos) {
      const ssize_t n = read(out_, buffer, sizeof(buffer));
      if (n <= 0) break;
      read_.append(buffer, static_cast<size_t>(n));
    }
    return read_;
  }
  bool Ready() { return ReadUntil("gatehouse: ready\n").find("gatehouse: ready\n") != std::string::npos; }
  void Signal(int signal) { kill(pid_, signal); }
  int Exit() {
    ReadUntil("");
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  std::string read_;
};

class ProgramTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { grpc_init(); }
  ProgramTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/gh-XXXXXX");
    dir_ = std::filesystem::canonical(mkdtemp(pattern.data())).string();
  }
  ~ProgramTest() override { std::filesystem::remove_all(dir_); }

  std::vector<std::string> Arguments(std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {"--state-dir", dir_ + "/state", "--workers", "1", "--drain", "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::shared_ptr<grpc::Channel> Channel() const {
    return grpc::CreateChannel("unix:" + dir_ + "/state/run/control.sock", grpc::InsecureChannelCredentials());
  }
  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    context->set_wait_for_ready(true);
    return context;
  }
  v1::Status GetStatus() {
    v1::Status status;
    auto context = Context();
    const grpc::Status got = v1::StatusService::NewStub(Channel())->GetStatus(context.get(), {}, &status);
    EXPECT_TRUE(got.ok()) << got.error_message();
    return status;
  }
  grpc::Status Create(const std::string& upstream, v1::ChangeResponse* response) {
    v1::CreateRequest request;
    request.mutable_resource()->mutable_upstream()->set_name(upstream);
    request.mutable_resource()->mutable_upstream()->add_endpoints("127.0.0.1:9");
    request.mutable_wait()->set_wait(true);
    auto context = Context();
    return v1::ConfigService::NewStub(Channel())->Create(context.get(), request, response);
  }

  std::string dir_;
};

TEST_F(ProgramTest, StartsServesAndEndsWithZero) {
  Program program(Arguments());
  ASSERT_TRUE(program.Ready()) << program.ReadUntil("");
  EXPECT_THAT(program.ReadUntil("ready"), HasSubstr("gatehouse: control unix:" + dir_ + "/state/run/control.sock\n"));
  v1::Status status = GetStatus();
  EXPECT_EQ(status.gateways_size(), 1);
  EXPECT_EQ(status.gateways(0).peer(), "embedded");
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Exit(), 0);
}

TEST_F(ProgramTest, AChangeIsInForceSeenByAWatcherAndThereAfterARestart) {
  std::string incarnation;
  {
    Program program(Arguments());
    ASSERT_TRUE(program.Ready()) << program.ReadUntil("");
    auto context = Context();
    auto watch = v1::EventService::NewStub(Channel())->Watch(context.get(), {});
    watch->WaitForInitialMetadata();

    v1::ChangeResponse response;
    const grpc::Status created = Create("orders", &response);
    ASSERT_TRUE(created.ok()) << created.error_message();
    EXPECT_EQ(response.revision(), 1u);
    EXPECT_EQ(response.force().gateways(), 1u);
    EXPECT_EQ(response.force().in_force(), 1u);

    std::optional<v1::Event> audit;
    v1::WatchResponse batch;
    while (!audit.has_value() && watch->Read(&batch)) {
      for (const v1::Event& event : batch.events()) {
        if (event.type() == v1::Event::AUDIT) audit = event;
      }
    }
    ASSERT_TRUE(audit.has_value());
    EXPECT_EQ(audit->actor(), absl::StrCat("uid:", getuid()));
    incarnation = GetStatus().incarnation();
    program.Signal(SIGTERM);
    EXPECT_EQ(program.Exit(), 0);
  }
  Program again(Arguments());
  ASSERT_TRUE(again.Ready()) << again.ReadUntil("");
  v1::Status status = GetStatus();
  EXPECT_EQ(status.revision(), 1u);
  EXPECT_EQ(status.incarnation(), incarnation);
  EXPECT_EQ(status.gateways(0).acknowledged_revision(), 1u) << "before it says that it is ready";
}

TEST_F(ProgramTest, ASecondProcessOnTheSameStateIsRefused) {
  Program first(Arguments());
  ASSERT_TRUE(first.Ready()) << first.ReadUntil("");
  Program second(Arguments({"--socket", dir_ + "/state/run/other.sock"}));
  EXPECT_EQ(second.Exit(), 1);
  EXPECT_THAT(second.ReadUntil(""), HasSubstr("gatehouse: error: "));
  EXPECT_EQ(GetStatus().gateways_size(), 1) << "the first goes on";
}

TEST_F(ProgramTest, AStateDirectoryThatCannotBeMadeIsNamed) {
  Program program({"--state-dir", "/proc/gatehouse"});
  EXPECT_EQ(program.Exit(), 1);
  EXPECT_THAT(program.ReadUntil(""), HasSubstr("/proc/gatehouse"));
}

TEST_F(ProgramTest, WithoutAGatewayItIsAControlPlaneOnly) {
  Program program(Arguments({"--no-gateway"}));
  ASSERT_TRUE(program.Ready()) << program.ReadUntil("");
  EXPECT_EQ(GetStatus().gateways_size(), 0);
  v1::ChangeResponse response;
  const grpc::Status created = Create("orders", &response);
  EXPECT_TRUE(created.ok()) << created.error_message();
  EXPECT_EQ(response.force().gateways(), 0u);
  program.Signal(SIGINT);
  EXPECT_EQ(program.Exit(), 0);
}

TEST_F(ProgramTest, AWrongCommandLineIsTwo) {
  Program program({"--nonsense"});
  EXPECT_EQ(program.Exit(), 2);
  EXPECT_THAT(program.ReadUntil(""), HasSubstr("--nonsense"));
}

}  // namespace
}  // namespace gatehouse
