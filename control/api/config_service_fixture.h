// ConfigServiceTest is a ConfigService over a real server on a Unix socket, judged by config::Build, and a stub to call it by.
#pragma once

#include <grpc/grpc.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/api/config_service.h"
#include "control/api/server.h"
#include "control/store/memory_store.h"
#include "control/store/store_fixture.h"
#include "gateway/config/build.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::api {

// Answers waits when the test says so.
class HeldPublisher final : public Publisher {
 public:
  void Publish(uint64_t, const config::ResourceMap&) override {}
  void WaitInForce(uint64_t revision, absl::Duration timeout,
                   absl::AnyInvocable<void(v1::ForceStatus)> done) override {
    MutexLock lock(&mutex_);
    revision_ = revision;
    timeout_ = timeout;
    done_ = std::move(done);
    came_.SignalAll();
  }
  absl::AnyInvocable<void(v1::ForceStatus)> Await() {
    MutexLock lock(&mutex_);
    while (done_ == nullptr) came_.Wait(&mutex_);
    return std::exchange(done_, nullptr);
  }
  absl::Duration timeout() {
    MutexLock lock(&mutex_);
    return timeout_;
  }

 private:
  Mutex mutex_;
  CondVar came_;
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration timeout_ ABSL_GUARDED_BY(mutex_);
  absl::AnyInvocable<void(v1::ForceStatus)> done_ ABSL_GUARDED_BY(mutex_);
};

// Counts what of the history is read.
class CountingStore final : public store::MemoryStore {
 public:
  absl::StatusOr<std::vector<v1::Revision>> History(const store::HistoryQuery& query) override {
    auto page = store::MemoryStore::History(query);
    for (const v1::Revision& one : *page) history_octets += one.ByteSizeLong();
    return page;
  }
  std::atomic<size_t> history_octets{0};
};

class ConfigServiceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { grpc_init(); }

  void SetUp() override {
    ASSERT_TRUE(changes_.Start().ok());
    options_.socket = folder_ / "run/control.sock";
    auto access = ControlServer::Prepare(options_);
    ASSERT_TRUE(access.ok()) << access.status();
    executor_ = std::make_unique<CallExecutor>(3, 64);
    callers_ = access->callers;
    callers_->SetRefused([this](const Caller& who, absl::string_view method, const absl::Status& why) { ledger_.Refused(who, method, why); });
    service_ = std::make_unique<ConfigService>(changes_, *executor_, access->guard, ledger_);
    auto server = ControlServer::Start(options_, *std::move(access), {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::ConfigService::NewStub(
        grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials()));
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Shutdown(absl::Seconds(1));
    if (callers_ != nullptr) callers_->SetRefused(nullptr);
    executor_.reset();
  }

  static validate::Findings Judge(const config::ResourceMap& resources, uint64_t) {
    validate::Findings findings;
    for (const config::Violation& violation : config::Build(resources).violations) {
      v1::Violation& added = findings.violations.emplace_back();
      added.set_path(violation.path);
      added.set_message(violation.message);
    }
    return findings;
  }
  static void Deadline(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    context->set_wait_for_ready(true);
  }
  template <typename Request>
  static Request Parse(const std::string& text) {
    Request request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
    return request;
  }
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::ConfigService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const std::string& request, Response* response) {
    grpc::ClientContext context;
    Deadline(&context);
    return (stub_.get()->*method)(&context, Parse<Request>(request), response);
  }
  grpc::Status Apply(const std::vector<std::string>& messages, v1::ApplyResponse* response) {
    grpc::ClientContext context;
    Deadline(&context);
    auto writer = stub_->Apply(&context, response);
    for (const std::string& message : messages) writer->Write(Parse<v1::ApplyRequest>(message));
    writer->WritesDone();
    return writer->Finish();
  }
  std::vector<std::string> Audit() {
    MutexLock lock(&mutex_);
    return audit_;
  }
  // What was told, once there are `n` of it.
  std::vector<std::string> AwaitAudit(size_t n) {
    MutexLock lock(&mutex_);
    while (audit_.size() < n) told_.Wait(&mutex_);
    return audit_;
  }

  store::TemporaryFolder folder_;
  ControlServerOptions options_;
  FakeClock clock_;
  CountingStore store_;
  HeldPublisher publisher_;
  Changes changes_{store_, Judge, publisher_, clock_};
  Mutex mutex_;
  CondVar told_;
  std::vector<std::string> audit_ ABSL_GUARDED_BY(mutex_);
  Ledger ledger_{store_, clock_, [this](v1::Event event) {
                   MutexLock lock(&mutex_);
                   audit_.push_back(absl::StrCat(v1::Event::Outcome_Name(event.outcome()), " ", event.actor(), " ", event.detail()));
                   told_.SignalAll();
                 }};
  std::shared_ptr<Callers> callers_;
  std::unique_ptr<CallExecutor> executor_;
  std::unique_ptr<ConfigService> service_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<v1::ConfigService::Stub> stub_;
};

}  // namespace gatehouse::api
