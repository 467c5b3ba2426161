// Whoever calls much, and long, keeps nobody else waiting.
#include "control/api/call_executor.h"

#include <atomic>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

class CallExecutorTest : public ::testing::Test {
 protected:
  // A call that takes until the test is over.
  void SubmitLong(const Caller& by) {
    executor_.Submit(by, [this](const absl::StatusOr<Caller>& now) {
      if (!now.ok()) {
        EXPECT_EQ(now.status().code(), absl::StatusCode::kResourceExhausted);
        ++refused_;
        return;
      }
      over_.WaitForNotification();
      ++ran_;
    });
  }
  // The end of a call that does nothing.
  absl::Status Call(const Caller& by) {
    absl::Notification done;
    absl::Status status;
    executor_.Submit(by, [&](const absl::StatusOr<Caller>& now) {
      status = now.status();
      done.Notify();
    });
    done.WaitForNotification();
    return status;
  }

  std::atomic<int> refused_{0}, ran_{0};
  absl::Notification over_;
  CallExecutor executor_{4, 8};
};

TEST_F(CallExecutorTest, OneWhoTakesEveryPlaceAndThreadKeepsNobodyOut) {
  for (int i = 0; i < 100; ++i) SubmitLong("reader");
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Call("owner").ok()) << i;
  over_.Notify();
  while (ran_ + refused_ < 100) std::this_thread::yield();
  EXPECT_GE(ran_, 7) << "the owner took one place of eight";
  EXPECT_EQ(ran_ + refused_, 100) << "each is told of once";
}

TEST_F(CallExecutorTest, StrangersOfOneAddressAreOne) {
  Caller one, other;
  one.peer = "192.0.2.1:1";
  other.peer = "192.0.2.1:2";
  for (int i = 0; i < 50; ++i) {
    SubmitLong(one);
    SubmitLong(other);
  }
  Caller apart;
  apart.peer = "192.0.2.2:1";
  EXPECT_TRUE(Call(apart).ok());
  over_.Notify();
}

TEST_F(CallExecutorTest, WhatACallerMayDoIsAskedWhenTheTurnComes) {
  Caller by("alice");
  by.roles = kOwnerRoles;
  absl::StatusOr<Roles> now = RoleBit(v1::VIEWER);
  by.judge = [&] { return now; };
  absl::Notification done;
  executor_.Submit(by, [&](const absl::StatusOr<Caller>& then) {
    ASSERT_TRUE(then.ok());
    EXPECT_EQ(then->roles, RoleBit(v1::VIEWER));
    EXPECT_EQ(then->name, "alice");
    done.Notify();
  });
  done.WaitForNotification();
  now = absl::PermissionDeniedError("no role");
  EXPECT_EQ(Call(by), now.status());
  over_.Notify();
}

TEST_F(CallExecutorTest, NothingRunsOnceItWasStopped) {
  absl::Notification running, stopping;
  std::atomic<bool> over = false;
  executor_.Submit("a", [&](const absl::StatusOr<Caller>&) {
    running.Notify();
    stopping.WaitForNotification();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    over = true;
  });
  running.WaitForNotification();
  stopping.Notify();
  executor_.Stop();
  EXPECT_TRUE(over) << "it was waited for";
  EXPECT_EQ(Call("a").code(), absl::StatusCode::kResourceExhausted);
  executor_.Stop();
}

}  // namespace
}  // namespace gatehouse::api
