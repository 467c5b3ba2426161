// A write whose caller does not wait for it any more is not made; one that was made says so while there is time.
#include <unistd.h>

#include <future>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "control/api/config_service_fixture.h"
#include "gmock/gmock.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kCreate[] = "resource {upstream {name: 'u' endpoints: '127.0.0.1:1'}} ";

class DeadlinesTest : public ConfigServiceTest {
 protected:
  // A writer whose turn lasts until it is told.
  void HoldTheWriter() {
    holder_ = std::thread([this] {
      changes_.Write({}, [this](Draft&) {
        held_.Notify();
        release_.WaitForNotification();
        return absl::OkStatus();
      }).IgnoreError();
    });
    held_.WaitForNotification();
  }
  void Release() {
    release_.Notify();
    holder_.join();
  }
  size_t End() { return callers_->calls()->EndOlder(std::chrono::steady_clock::now() + std::chrono::minutes(10), absl::Minutes(10)); }
  void AwaitCalls(size_t n) {
    const std::string self = absl::StrCat("uid:", geteuid());
    while (callers_->calls()->LoadOf(self).calls != n) std::this_thread::yield();
  }

  absl::Notification held_, release_;
  std::thread holder_;
};

TEST_F(DeadlinesTest, AWriteWhoseDeadlineCameBeforeItsTurnIsNotMade) {
  HoldTheWriter();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  v1::ChangeResponse change;
  EXPECT_EQ(stub_->Create(&context, Parse<v1::CreateRequest>(kCreate), &change).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  Release();
  EXPECT_THAT(AwaitAudit(1), ElementsAre(HasSubstr("ConfigService/Create: the call's deadline came before it was written; nothing was changed")));
  EXPECT_EQ(*store_.Head(), 0u);
}

TEST_F(DeadlinesTest, AWriteWhoseCallerWentAwayBeforeItsTurnIsNotMade) {
  HoldTheWriter();
  grpc::ClientContext context;
  Deadline(&context);
  auto done = std::async(std::launch::async, [&] {
    v1::ChangeResponse change;
    return stub_->Create(&context, Parse<v1::CreateRequest>(kCreate), &change);
  });
  AwaitCalls(1);
  context.TryCancel();
  EXPECT_EQ(done.get().error_code(), grpc::StatusCode::CANCELLED);
  // The server hears of it a moment later, and other calls over the same connection after it.
  v1::Resource resource;
  for (int i = 0; i < 20; ++i) Call(&v1::ConfigService::Stub::Get, "id {kind: UPSTREAM name: 'u'}", &resource);
  Release();
  EXPECT_THAT(AwaitAudit(1), ElementsAre(HasSubstr("ConfigService/Create: the caller went away before it was written; nothing was changed")));
  EXPECT_EQ(*store_.Head(), 0u);
}

TEST_F(DeadlinesTest, TheServersOwnDeadlineIsToldAsOneAndNothingIsWrittenAfterIt) {
  HoldTheWriter();
  grpc::ClientContext context;  // no deadline of its own
  auto done = std::async(std::launch::async, [&] {
    v1::ChangeResponse change;
    return stub_->Create(&context, Parse<v1::CreateRequest>(kCreate), &change);
  });
  AwaitCalls(1);
  while (End() == 0) std::this_thread::yield();
  const grpc::Status status = done.get();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), "the call took longer than 10m; nothing was changed");
  Release();
  EXPECT_THAT(AwaitAudit(1), ElementsAre(HasSubstr("ConfigService/Create: the call took longer than 10m; nothing was changed")));
  EXPECT_EQ(*store_.Head(), 0u);
}

TEST_F(DeadlinesTest, AWriteThatWasMadeIsNotCutAndItsAnswerComesBeforeTheDeadline) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::ChangeResponse change;
  auto done = std::async(std::launch::async, [&] {
    return stub_->Create(&context, Parse<v1::CreateRequest>(absl::StrCat(kCreate, "wait {wait: true timeout_ms: 100000}")), &change);
  });
  auto answer = publisher_.Await();
  EXPECT_LT(publisher_.timeout(), absl::Seconds(19.9)) << "the caller hears that it was made";
  EXPECT_GT(publisher_.timeout(), absl::Seconds(10));
  EXPECT_EQ(End(), 0u);
  answer(v1::ForceStatus());
  EXPECT_TRUE(done.get().ok());
  EXPECT_EQ(change.revision(), 1u);
  EXPECT_EQ(*store_.Head(), 1u);
}

TEST_F(DeadlinesTest, ASetThatWasAppliedAndIsSentAgainChangesNothingMore) {
  v1::ApplyResponse response;
  const std::string set = "resources { upstreams {name: 'u' endpoints: '127.0.0.1:1'} }";
  ASSERT_TRUE(Apply({set}, &response).ok());  // and the answer was lost
  response.Clear();
  ASSERT_TRUE(Apply({set}, &response).ok());
  EXPECT_EQ(response.revision(), 1u);
  EXPECT_EQ(response.changes_size(), 0);
}

}  // namespace
}  // namespace gatehouse::api
