#include "gateway/credentials/throttle.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

namespace gatehouse::credentials {
namespace {

class ThrottleTest : public ::testing::Test {
 protected:
  // The wait; zero when the attempt was admitted and decided as `good`.
  absl::Duration Guess(absl::string_view user, absl::string_view address, bool good = false) {
    auto begun = throttle_.Begin("Basic", user, address);
    if (auto* refused = std::get_if<Throttle::Refused>(&begun)) return refused->retry_after;
    auto& attempt = std::get<Throttle::Attempt>(begun);
    good ? attempt.Succeeded() : attempt.Failed();
    return absl::ZeroDuration();
  }
  void Fail(int n, absl::string_view user, absl::string_view address) {
    for (int i = 0; i < n; ++i) {
      absl::Duration wait = Guess(user, address);
      if (wait == absl::ZeroDuration()) continue;
      clock_.Advance(wait);
      --i;
    }
  }
  FakeClock clock_;
  ThrottleOptions options_;
  Throttle throttle_{options_, clock_};
  const absl::Duration none_ = absl::ZeroDuration();
};

TEST_F(ThrottleTest, LetsTheFirstFailuresPassAndThenDoublesTheDelay) {
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Guess("ann", "a"), none_) << i;
  EXPECT_EQ(Guess("ann", "a"), absl::Seconds(1));
  clock_.Advance(absl::Milliseconds(400));
  EXPECT_EQ(Guess("ann", "a"), absl::Milliseconds(600)) << "a refused guess does not lengthen it";
  clock_.Advance(absl::Milliseconds(600));
  EXPECT_EQ(Guess("ann", "a"), none_);
  EXPECT_EQ(Guess("ann", "a"), absl::Seconds(2));
}

TEST_F(ThrottleTest, LocksThePairOutAfterTwentyFailuresUntilTheLockoutIsOver) {
  Fail(20, "ann", "a");
  EXPECT_EQ(Guess("ann", "a", true), absl::Minutes(15)) << "the right password too";
  clock_.Advance(absl::Minutes(15) - absl::Seconds(1));
  EXPECT_EQ(Guess("ann", "a"), absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Guess("ann", "a", true), none_);
}

TEST_F(ThrottleTest, DoesNotLockOutAnotherAddressOrUserOrScheme) {
  Fail(20, "ann", "a");
  EXPECT_EQ(Guess("ann", "b"), none_);
  EXPECT_EQ(Guess("bob", "a"), none_);
  EXPECT_TRUE(std::holds_alternative<Throttle::Attempt>(throttle_.Begin("Other", "ann", "a")));
}

TEST_F(ThrottleTest, StartsAnewAfterASuccess) {
  Fail(6, "ann", "a");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Guess("ann", "a", true), none_);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Guess("ann", "a"), none_) << i;
}

TEST_F(ThrottleTest, ForgetsOldFailures) {
  Fail(6, "ann", "a");
  clock_.Advance(options_.forget);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Guess("ann", "a"), none_) << i;
}

TEST_F(ThrottleTest, CountsGuessesUnderWaySoThatParallelOnesGainNothing) {
  std::vector<Throttle::Attempt> attempts;
  int refused = 0;
  for (int i = 0; i < 100; ++i) {
    auto begun = throttle_.Begin("Basic", "ann", "a");
    if (auto* attempt = std::get_if<Throttle::Attempt>(&begun)) {
      attempts.push_back(std::move(*attempt));
    } else {
      ++refused;
    }
  }
  EXPECT_EQ(attempts.size(), options_.free_failures + 1);
  EXPECT_EQ(refused, 94);
}

TEST_F(ThrottleTest, DoesNotCountWhatWasNeverDecided) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(std::holds_alternative<Throttle::Attempt>(throttle_.Begin("Basic", "ann", "a")))
        << i;
  }
}

TEST_F(ThrottleTest, OnlyDelaysAUserThatManyAddressesGuessAt) {
  for (int i = 0; i < 51; ++i) EXPECT_EQ(Guess("ann", absl::StrCat("bot", i)), none_);
  EXPECT_EQ(Guess("ann", "home"), options_.user_delay);
  clock_.Advance(options_.user_delay);
  EXPECT_EQ(Guess("ann", "home", true), none_);
}

TEST_F(ThrottleTest, SparesAnAddressFromWhichTheUserWasVerifiedLately) {
  EXPECT_EQ(Guess("ann", "home", true), none_);
  for (int i = 0; i < 51; ++i) Guess("ann", absl::StrCat("bot", i));
  EXPECT_EQ(Guess("ann", "elsewhere"), options_.user_delay);
  EXPECT_EQ(Guess("ann", "home", true), none_);
}

TEST_F(ThrottleTest, DoesNotWaitLongerBecauseTheClockWasSetBack) {
  Fail(20, "ann", "a");
  clock_.Advance(-absl::Hours(48));
  EXPECT_LE(Guess("ann", "a"), options_.lockout);
}

TEST_F(ThrottleTest, HoldsABoundedNumberOfPairsAndIsSafeAcrossThreads) {
  Throttle small({.capacity = 64}, clock_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&small, t] {
      for (int i = 0; i < 2000; ++i) {
        auto begun = small.Begin("Basic", absl::StrCat("user", i % 300), absl::StrCat(t));
        if (auto* attempt = std::get_if<Throttle::Attempt>(&begun)) {
          if (i % 3 == 0) attempt->Failed();
          if (i % 3 == 1) attempt->Succeeded();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(small.size(), 64u + 16u);
}

TEST(AddressKeyTest, TakesAnIpv4AddressOrTheNetworkOfAnIpv6One) {
  EXPECT_EQ(AddressKey("192.0.2.1"), AddressKey("::ffff:192.0.2.1"));
  EXPECT_NE(AddressKey("192.0.2.1"), AddressKey("192.0.2.2"));
  EXPECT_EQ(AddressKey("2001:db8::1"), AddressKey("2001:db8:0:0:ffff::2"));
  EXPECT_NE(AddressKey("2001:db8::1"), AddressKey("2001:db8:0:1::1"));
  EXPECT_EQ(AddressKey("fe80::1%eth0"), AddressKey("fe80::1"));
  EXPECT_EQ(AddressKey("unix"), "unix");
}

}  // namespace
}  // namespace gatehouse::credentials
