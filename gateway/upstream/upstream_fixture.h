// What the upstream tests share: a real loop, an upstream of plain sockets that does exactly what the test says, and a
// handler that remembers. Nothing sleeps: the loop turns until what is awaited is there, or five seconds have passed.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/pool.h"
#include "gtest/gtest.h"

namespace gatehouse::upstream {

// One connection, seen from the upstream.
class Peer {
 public:
  explicit Peer(loop::Fd fd) : fd_(std::move(fd)) {}

  // Reads what is there; false once the other side has closed.
  bool Poll() {
    char buffer[16384];
    while (fd_.valid()) {
      ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (n > 0) {
        received.append(buffer, static_cast<size_t>(n));
        continue;
      }
      return n < 0 && errno == EAGAIN;
    }
    return false;
  }
  void Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) {
        pollfd p{fd_.get(), POLLOUT, 0};
        poll(&p, 1, 1000);
        continue;
      }
      ASSERT_GT(n, 0) << strerrordesc_np(errno);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // Sends what fits now and returns how much that was.
  size_t SendSome(absl::string_view bytes) {
    ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return n > 0 ? static_cast<size_t>(n) : 0;
  }
  void Close() { fd_.Close(); }
  void HalfClose() { shutdown(fd_.get(), SHUT_WR); }
  void Reset() {
    linger now{1, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    fd_.Close();
  }
  std::string received;

 private:
  loop::Fd fd_;
};

class FakeUpstream {
 public:
  FakeUpstream() {
    loop::ListenOptions options;
    options.defer_accept = absl::ZeroDuration();
    auto socket = loop::ListenSocket::Open(*loop::Address::Parse("127.0.0.1:0"), options);
    socket_ = std::make_unique<loop::ListenSocket>(*std::move(socket));
  }
  loop::Address address() const { return socket_->address(); }
  // Null when nobody is there.
  std::unique_ptr<Peer> TryAccept() {
    int fd = TryAcceptFd();
    return fd < 0 ? nullptr : std::make_unique<Peer>(loop::Fd(fd));
  }
  // A non-blocking socket, or -1.
  int TryAcceptFd() {
    pollfd p{socket_->fd(), POLLIN, 0};
    if (poll(&p, 1, 0) <= 0) return -1;
    return accept4(socket_->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  }
  // From now on connections are refused.
  void StopListening() { socket_.reset(); }
  bool listening() const { return socket_ != nullptr; }

 private:
  std::unique_ptr<loop::ListenSocket> socket_;
};

// Remembers everything, and does what the test asks in a callback.
class Answer : public ResponseHandler {
 public:
  void OnHead(http::ResponseHead&& head) override {
    ++heads;
    status = head.status;
    head_ended = head.end;
    fields = std::move(head.fields);
    if (on_head) on_head();
  }
  void OnBody(absl::string_view bytes) override {
    body.append(bytes.data(), bytes.size());
    if (on_body) on_body();
  }
  void OnTrailers(http::FieldList&& list) override { trailers = std::move(list); }
  void OnComplete() override {
    ++completions;
    if (on_end) on_end();
  }
  void OnError(ErrorKind kind, absl::string_view text) override {
    ++errors;
    error = kind;
    detail = std::string(text);
    if (on_end) on_end();
  }
  void OnWritable() override {
    ++writables;
    if (on_writable) on_writable();
  }
  void OnHalfClosed() override { ++half_closes; }
  void OnEarlyHints(http::FieldList&&) override { ++hints; }
  bool ended() const { return completions + errors > 0; }

  int heads = 0, hints = 0, half_closes = 0, completions = 0, errors = 0, writables = 0;
  int status = 0;
  bool head_ended = false;
  http::FieldList fields, trailers;
  std::string body, detail;
  ErrorKind error{};
  std::function<void()> on_head, on_body, on_end, on_writable;
};

class UpstreamFixture : public ::testing::Test {
 protected:
  UpstreamFixture() {
    options_.name = "app";
    options_.endpoints = {Endpoint::Of(upstream_.address())};
  }

  void MakePool() { pool_ = Pool::Create(&loop_, options_); }
  std::unique_ptr<Request> Start(Answer* answer, absl::string_view method = "GET", Framing framing = Framing::kNoBody,
                                 uint64_t length = 0) {
    if (pool_ == nullptr) MakePool();
    RequestHead head;
    head.method = method;
    head.target = "/x";
    head.authority = "app.test";
    head.framing = framing;
    head.content_length = length;
    return pool_->Start(head, answer);
  }
  ::testing::AssertionResult Until(const std::function<bool()>& what) {
    loop::Instant end = loop::Instant::Now() + absl::Seconds(5);
    while (!what()) {
      if (loop::Instant::Now() > end) return ::testing::AssertionFailure() << "not within 5 s";
      loop_.RunOnce(false);
    }
    return ::testing::AssertionSuccess();
  }
  std::unique_ptr<Peer> Accept() {
    std::unique_ptr<Peer> peer;
    EXPECT_TRUE(Until([&] { return (peer = upstream_.TryAccept()) != nullptr; }));
    return peer;
  }
  // Waits until `peer` has received `text`.
  ::testing::AssertionResult Receives(Peer& peer, absl::string_view text) {
    auto result = Until([&] {
      peer.Poll();
      return absl::StrContains(peer.received, text);
    });
    return result ? result : result << ", got: " << peer.received.substr(0, 500);
  }
  // The connection of a request that `peer` got in full.
  std::unique_ptr<Peer> AcceptRequest() {
    auto peer = Accept();
    if (peer != nullptr) {
      EXPECT_TRUE(Receives(*peer, "\r\n\r\n"));
    }
    return peer;
  }
  ::testing::AssertionResult Ends(const Answer& answer) {
    return Until([&] { return answer.ended(); });
  }
  ::testing::AssertionResult SeesClose(Peer& peer) {
    return Until([&] { return !peer.Poll(); });
  }
  void Turn(int times = 20) {
    for (int i = 0; i < times; ++i) loop_.RunOnce(false);
  }
  // Moves the deadlines' time, and only that.
  void Pass(absl::Duration d) {
    passed_ += d;
    loop_.deadlines().Advance(loop::Instant::Now() + passed_);
  }
  // An exchange from start to end; its connection is kept.
  std::unique_ptr<Peer> Warm() {
    Answer answer;
    auto request = Start(&answer);
    auto peer = AcceptRequest();
    peer->Send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    EXPECT_TRUE(Ends(answer));
    EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
    peer->received.clear();
    return peer;
  }

  loop::Loop loop_;
  FakeUpstream upstream_;
  UpstreamOptions options_;
  std::unique_ptr<Pool> pool_;
  absl::Duration passed_;
};

}  // namespace gatehouse::upstream
