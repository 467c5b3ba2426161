// A subscriber and a control plane that the test plays.
#include "gateway/remote/subscriber.h"

#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/lib/target.h"
#include "gateway/config/build_set.h"
#include "gateway/server/fake_gateway.h"

namespace gatehouse::remote {
namespace {

// Sends what it is told on the stream that is open, and keeps what came.
class Control final : public v1::SnapshotService::Service {
 public:
  grpc::Status Subscribe(grpc::ServerContext* context,
                         grpc::ServerReaderWriter<v1::SubscribeResponse, v1::SubscribeRequest>* stream) override {
    {
      MutexLock lock(&mutex_);
      context_ = context;
      stream_ = stream;
    }
    v1::SubscribeRequest request;
    while (stream->Read(&request)) {
      MutexLock lock(&mutex_);
      if (request.has_hello()) ++hellos_;
      if (request.has_ack()) acks_.insert(request.ack().revision());
      if (request.has_nack()) nacks_.insert(request.nack().revision());
      changed_.SignalAll();
    }
    MutexLock lock(&mutex_);
    if (stream_ == stream) {  // else the next is open already
      stream_ = nullptr;
      context_ = nullptr;
    }
    return grpc::Status::OK;
  }
  // One of `pieces` of a configuration.
  void Send(uint64_t revision, const v1::ConfigSet& set, size_t piece = 0, size_t pieces = 1) {
    const config::ResourceMap resources(set);
    const std::string wire = config::WireOf(resources);
    const size_t each = wire.size() / pieces + 1;
    v1::SubscribeResponse response;
    v1::SnapshotChunk* chunk = response.mutable_chunk();
    chunk->set_revision(revision);
    chunk->set_incarnation("A");
    chunk->set_digest(std::string(AsView(resources.digest())));
    chunk->set_data(wire.substr(std::min(piece * each, wire.size()), each));
    chunk->set_last(piece + 1 == pieces);
    Write(response);
  }
  void SendCurrent(uint64_t revision) {
    v1::SubscribeResponse response;
    response.mutable_current()->set_revision(revision);
    Write(response);
  }
  void Break() {
    MutexLock lock(&mutex_);
    if (context_ != nullptr) context_->TryCancel();
  }
  bool AwaitHello(int n) {
    return Await([this, n]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return hellos_ == n; });
  }
  bool AwaitAck(uint64_t revision) {
    return Await([this, revision]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return acks_.count(revision) != 0; });
  }
  bool AwaitNack(uint64_t revision) {
    return Await([this, revision]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return nacks_.count(revision) != 0; });
  }

 private:
  void Write(const v1::SubscribeResponse& response) {
    MutexLock lock(&mutex_);
    if (stream_ != nullptr) stream_->Write(response);
  }
  bool Await(const std::function<bool()>& what) {
    MutexLock lock(&mutex_);
    while (!what()) {
      if (!changed_.WaitFor(&mutex_, absl::Seconds(20))) return false;
    }
    return true;
  }

  Mutex mutex_;
  CondVar changed_;
  grpc::ServerContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  grpc::ServerReaderWriter<v1::SubscribeResponse, v1::SubscribeRequest>* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::set<uint64_t> acks_ ABSL_GUARDED_BY(mutex_), nacks_ ABSL_GUARDED_BY(mutex_);
  int hellos_ ABSL_GUARDED_BY(mutex_) = 0;
};

class SubscriberTest : public ::testing::Test {
 protected:
  SubscriberTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&control_);
    server_ = builder.BuildAndStart();
  }
  ~SubscriberTest() override {
    subscriber_.reset();
    server_->Shutdown(std::chrono::system_clock::now());
  }
  void Follow() {
    Subscriber::Options options;
    options.gateway = "far";
    options.clock = &clock_;
    options.renewal_period = absl::Milliseconds(10);
    options.targets.push_back(*client::ParseTarget(absl::StrCat("127.0.0.1:", port_), {}, true));
    subscriber_ = std::make_unique<Subscriber>(std::move(options), &gateway_, nullptr);
    subscriber_->Start();
    ASSERT_TRUE(control_.AwaitHello(1));
  }
  static v1::ConfigSet With(const std::string& upstream) {
    v1::ConfigSet set;
    set.add_upstreams()->set_name(upstream);
    set.mutable_upstreams(0)->add_endpoints("127.0.0.1:80");
    return set;
  }

  int port_ = 0;
  Control control_;
  std::unique_ptr<grpc::Server> server_;
  SystemClock clock_;
  server::FakeGateway gateway_;
  std::unique_ptr<Subscriber> subscriber_;
};

TEST_F(SubscriberTest, WhatTheGatewayRefusedIsTriedAgainAndAcknowledgedThen) {
  Follow();
  gateway_.Refuse(3);
  control_.Send(5, With("a"));
  ASSERT_TRUE(control_.AwaitNack(5));
  EXPECT_TRUE(control_.AwaitAck(5));
  EXPECT_EQ(gateway_.installs(), 4);
}

// The store is restored from the backup of revision 4.
TEST_F(SubscriberTest, WhatWasRefusedAndIsNotTheNewestAnyMoreDoesNotComeIntoForce) {
  Follow();
  control_.Send(4, With("a"));
  ASSERT_TRUE(control_.AwaitAck(4));
  gateway_.Refuse(1'000'000);
  control_.Send(5, With("b"));
  ASSERT_TRUE(control_.AwaitNack(5));
  control_.Break();
  ASSERT_TRUE(control_.AwaitHello(2));
  const int confirmed = gateway_.confirmed();
  control_.SendCurrent(4);
  while (gateway_.confirmed() == confirmed) std::this_thread::yield();
  gateway_.Refuse(0);
  absl::SleepFor(absl::Milliseconds(300));  // three times as long as the longest pause between tries
  EXPECT_EQ(gateway_.current()->revision, 4u);
}

TEST_F(SubscriberTest, AConfigurationThatComesInPiecesIsWaitedFor) {
  Follow();
  constexpr size_t kPieces = 15;
  std::thread sender([&] {
    for (size_t i = 0; i < kPieces; ++i) {
      absl::SleepFor(absl::Milliseconds(100));
      control_.Send(5, With("a"), i, kPieces);
    }
  });
  EXPECT_TRUE(subscriber_->WaitInStep(absl::Seconds(1)));
  sender.join();
  EXPECT_EQ(gateway_.current()->revision, 5u);
}

TEST_F(SubscriberTest, OneOfWhichNothingMoreComesIsNot) {
  Follow();
  control_.Send(5, With("a"), 0, 2);
  EXPECT_FALSE(subscriber_->WaitInStep(absl::Milliseconds(50)));
}

TEST_F(SubscriberTest, WhoWaitsIsLetGo) {
  Follow();
  std::thread other([&] { subscriber_->EndWait(); });
  EXPECT_FALSE(subscriber_->WaitInStep(absl::Hours(1)));
  other.join();
}

}  // namespace
}  // namespace gatehouse::remote
