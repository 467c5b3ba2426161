#include "gateway/delegate/breaker.h"

#include "gtest/gtest.h"

namespace gatehouse::delegate {
namespace {

using Change = CircuitBreaker::Change;
using State = CircuitBreaker::State;

class CircuitBreakerTest : public ::testing::Test {
 protected:
  Change Fail() { return breaker_.Unanswered(*breaker_.Admit(now_), now_); }
  Change Answer() { return breaker_.Answered(*breaker_.Admit(now_)); }
  void Open() {
    for (int i = 0; i < 3; ++i) Fail();
    ASSERT_EQ(breaker_.state(), State::kOpen);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  CircuitBreaker breaker_{3, absl::Seconds(5)};
};

TEST_F(CircuitBreakerTest, OpensAfterSoManyFailuresInARow) {
  EXPECT_EQ(Fail(), Change::kNone);
  EXPECT_EQ(Fail(), Change::kNone);
  EXPECT_EQ(Fail(), Change::kOpened);
  EXPECT_EQ(breaker_.Admit(now_), std::nullopt);
  EXPECT_EQ(breaker_.Left(now_), absl::Seconds(5));
}

TEST_F(CircuitBreakerTest, AnAnswerInBetweenStartsTheCountAnew) {
  Fail(), Fail();
  EXPECT_EQ(Answer(), Change::kNone);
  Fail(), Fail();
  EXPECT_EQ(breaker_.state(), State::kClosed);
}

TEST_F(CircuitBreakerTest, LetsOneProbeOutAfterItsTimeAndItsAnswerCloses) {
  Open();
  now_ += absl::Seconds(5) - absl::Nanoseconds(1);
  EXPECT_EQ(breaker_.Admit(now_), std::nullopt);
  now_ += absl::Nanoseconds(1);
  const std::optional<uint64_t> probe = breaker_.Admit(now_);
  ASSERT_TRUE(probe.has_value());
  EXPECT_EQ(breaker_.Admit(now_), std::nullopt) << "one is enough";
  EXPECT_EQ(breaker_.Answered(*probe), Change::kClosed);
  EXPECT_TRUE(breaker_.Admit(now_).has_value());
}

TEST_F(CircuitBreakerTest, AFailedProbeOpensItForAsLongAgainAndIsNoNews) {
  Open();
  now_ += absl::Seconds(5);
  EXPECT_EQ(Fail(), Change::kNone);
  EXPECT_EQ(breaker_.Left(now_), absl::Seconds(5));
}

TEST_F(CircuitBreakerTest, WhatWentOutInAnEarlierStateIsNotCounted) {
  const uint64_t early = *breaker_.Admit(now_), other = *breaker_.Admit(now_);
  Open();
  EXPECT_EQ(breaker_.Answered(early), Change::kNone);
  EXPECT_EQ(breaker_.state(), State::kOpen) << "an answer to an old call says nothing about now";
  now_ += absl::Seconds(5);
  const uint64_t probe = *breaker_.Admit(now_);
  EXPECT_EQ(breaker_.Unanswered(other, now_), Change::kNone);
  EXPECT_EQ(breaker_.state(), State::kHalfOpen) << "the probe is still out";
  EXPECT_EQ(breaker_.Answered(probe), Change::kClosed);
}

TEST_F(CircuitBreakerTest, AClockThatIsSetBackDoesNotKeepItOpen) {
  Open();
  now_ -= absl::Hours(1);
  EXPECT_TRUE(breaker_.Admit(now_).has_value());
}

}  // namespace
}  // namespace gatehouse::delegate
