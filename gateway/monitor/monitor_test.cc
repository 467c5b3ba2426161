#include "gateway/monitor/monitor.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/mutex.h"

namespace gatehouse::monitor {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A blocking plain TCP client.
class Client {
 public:
  explicit Client(const std::string& address, int receive_buffer = 0) {
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    timeval timeout{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Send(const std::string& text) { ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  // Everything up to the end of the connection; fails the test when that does not come.
  std::string ReadToEnd() {
    std::string all;
    char buffer[4096];
    for (;;) {
      ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n < 0 && errno == EAGAIN) ADD_FAILURE() << "the connection stays open";
      if (n <= 0) return all;
      all.append(buffer, static_cast<size_t>(n));
    }
  }

 private:
  int fd_ = -1;
};

class MonitorTest : public ::testing::Test {
 protected:
  void Start(MonitorOptions options = {}) {
    options.address = "127.0.0.1:0";
    options.metrics = [this] { return metrics_; };
    options.not_ready = [this] {
      MutexLock lock(&mutex_);
      return not_ready_;
    };
    monitor_ = *Monitor::Start(std::move(options));
  }
  void SetNotReady(std::string why) {
    MutexLock lock(&mutex_);
    not_ready_ = std::move(why);
  }
  std::string Ask(const std::string& line, const std::string& fields = "") {
    Client client(monitor_->address());
    client.Send(absl::StrCat(line, " HTTP/1.1\r\nHost: m\r\nConnection: close\r\n", fields, "\r\n"));
    return client.ReadToEnd();
  }

  std::string metrics_ = "up 1\n";
  Mutex mutex_;
  std::string not_ready_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Monitor> monitor_;
};

TEST_F(MonitorTest, ServesTheMetricsTextWithItsType) {
  Start();
  EXPECT_THAT(Ask("GET /metrics"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
                    EndsWith("\r\n\r\nup 1\n")));
  EXPECT_THAT(Ask("HEAD /metrics"), AllOf(HasSubstr("content-length: 5\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(MonitorTest, IsHealthyWhileItAnswersAndReadyWhenItIsTold) {
  Start();
  SetNotReady("draining");
  EXPECT_THAT(Ask("GET /healthz"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Ask("GET /readyz"), AllOf(StartsWith("HTTP/1.1 503 "), EndsWith("not ready: draining\n")));
  SetNotReady("");
  EXPECT_THAT(Ask("GET /readyz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(MonitorTest, KnowsNoOtherPathMethodOrBody) {
  Start();
  for (const char* path : {"/", "/metrics/", "/metricsx", "/METRICS", "/healthz/../etc/passwd", "/%6detrics%00"}) {
    EXPECT_THAT(Ask(absl::StrCat("GET ", path)), StartsWith("HTTP/1.1 4")) << path;
  }
  EXPECT_THAT(Ask("DELETE /metrics"), AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("allow: GET, HEAD\r\n")));
  EXPECT_THAT(Ask("GET /metrics", "Content-Length: 5\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Ask("GET /metrics", absl::StrCat("X: ", std::string(20'000, 'x'), "\r\n")), StartsWith("HTTP/1.1 431 "));
}

TEST_F(MonitorTest, AnswersManyRequestsOfOneConnection) {
  Start();
  Client client(monitor_->address());
  for (int i = 0; i < 3; ++i) client.Send("GET /healthz HTTP/1.1\r\nHost: m\r\n\r\n");
  client.Send("GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n");
  std::string all = client.ReadToEnd();
  EXPECT_THAT(all, EndsWith("up 1\n"));
  EXPECT_THAT(all, HasSubstr("ok\nHTTP/1.1 200 OK"));
}

TEST_F(MonitorTest, CutsWhoeverIsSlowToAsk) {
  Start({.patience = absl::Milliseconds(100)});
  Client silent(monitor_->address());
  Client slow(monitor_->address());
  slow.Send("GET /metr");
  EXPECT_EQ(silent.ReadToEnd(), "");
  EXPECT_EQ(slow.ReadToEnd(), "");
}

TEST_F(MonitorTest, CutsWhoeverIsSlowToRead) {
  metrics_.assign(32 * 1024 * 1024, 'm');
  Start({.patience = absl::Milliseconds(100)});
  Client client(monitor_->address(), 4096);
  client.Send("GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n");
  // Others are served meanwhile, and by the time that a second wait of the same length is over it is gone.
  Client other(monitor_->address());
  other.Send("GET /met");
  EXPECT_EQ(other.ReadToEnd(), "");
  Client third(monitor_->address());
  third.Send("GET /met");
  EXPECT_EQ(third.ReadToEnd(), "");
  EXPECT_LT(client.ReadToEnd().size(), metrics_.size());
}

TEST_F(MonitorTest, HearsNoMoreConnectionsThanItsLimit) {
  Start({.max_connections = 1});
  Client first(monitor_->address());
  first.Send("GET /healthz HTTP/1.1\r\nHost: m\r\n");
  Client second(monitor_->address());
  EXPECT_EQ(second.ReadToEnd(), "");
  first.Send("Connection: close\r\n\r\n");
  EXPECT_THAT(first.ReadToEnd(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(MonitorTest, RefusesAnAddressThatIsTakenOrNone) {
  Start();
  MonitorOptions options;
  options.address = monitor_->address();
  EXPECT_THAT(std::string(Monitor::Start(options).status().message()), HasSubstr(monitor_->address()));
  options.address = "localhost";
  EXPECT_EQ(Monitor::Start(options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gatehouse::monitor
