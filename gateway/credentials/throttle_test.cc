#include "gateway/credentials/throttle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

namespace gatehouse::credentials {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ThrottleTest : public ::testing::Test {
 protected:
  // The wait; zero when the attempt was admitted and decided as `good`.
  absl::Duration Guess(absl::string_view user, absl::string_view address, bool good = false) {
    auto begun = throttle_.Begin({"Basic", user, address, true}, options_);
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
  // What is remembered, as `kind user address failures`.
  std::vector<std::string> Remembered(const Throttle::Filter& filter = {}) {
    std::vector<std::string> out;
    for (const ThrottleEntry& entry : throttle_.List(filter, AllOptions())) {
      out.push_back(absl::StrCat(entry.kind == ThrottleKind::kPair      ? "pair "
                                 : entry.kind == ThrottleKind::kAddress ? "address "
                                                                        : "user ",
                                 entry.user, " ", entry.address_key, " ", entry.failures));
    }
    return out;
  }
  Throttle::OptionsOf AllOptions() {
    return [this](const std::string&) { return options_; };
  }
  std::vector<std::string> TakeAlarms() {
    MutexLock lock(&mutex_);
    return std::exchange(alarms_, {});
  }

  Mutex mutex_;
  std::vector<std::string> alarms_;
  FakeClock clock_;
  ThrottleOptions options_;
  Throttle throttle_{100'000, clock_, [this](const ThrottleAlarm& alarm) {
                       MutexLock lock(&mutex_);
                       alarms_.push_back(absl::StrCat(static_cast<int>(alarm.kind), " ", alarm.scheme, " ", alarm.user,
                                                      " ", alarm.address_key, " ", alarm.failures));
                     }};
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
  EXPECT_TRUE(std::holds_alternative<Throttle::Attempt>(throttle_.Begin({"Other", "ann", "a"}, options_)));
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
    auto begun = throttle_.Begin({"Basic", "ann", "a"}, options_);
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
    ASSERT_TRUE(std::holds_alternative<Throttle::Attempt>(throttle_.Begin({"Basic", "ann", "a"}, options_)))
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

TEST_F(ThrottleTest, DelaysAnAddressFromWhichManyUsersFail) {
  for (int i = 0; i < 21; ++i) EXPECT_EQ(Guess(absl::StrCat("user", i), "a"), none_) << i;
  EXPECT_EQ(Guess("somebody", "a", true), absl::Seconds(1)) << "the right password too";
  EXPECT_EQ(Guess("somebody", "b", true), none_);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Guess("user21", "a"), none_);
  EXPECT_EQ(Guess("user22", "a"), absl::Seconds(2));
}

TEST_F(ThrottleTest, LocksOutAnAddressThatSpraysAndTellsOnce) {
  int tried = 0;
  for (; tried < 1000; ++tried) {
    const absl::Duration wait = Guess(absl::StrCat("user", tried), "a");
    if (wait == none_) continue;
    if (wait > options_.max_delay) break;
    clock_.Advance(wait);
    --tried;
  }
  // What is forgotten meanwhile comes on top.
  EXPECT_GT(tried, 30);
  EXPECT_LT(tried, 60);
  EXPECT_EQ(Guess("ann", "a", true), options_.lockout);
  EXPECT_EQ(throttle_.lockouts(ThrottleKind::kAddress), 1u);
  ASSERT_EQ(TakeAlarms().size(), 1u);
  EXPECT_EQ(Guess("ann", "b", true), none_);
  clock_.Advance(options_.lockout);
  EXPECT_EQ(Guess("ann", "a", true), none_);
}

TEST_F(ThrottleTest, SparesWhoWasVerifiedFromAnAddressThatIsLockedOut) {
  EXPECT_EQ(Guess("ann", "nat", true), none_);
  options_.address_free_users = 1;
  options_.address_lockout_users = 3;
  for (int i = 0; i < 10; ++i) {
    if (Guess(absl::StrCat("user", i), "nat") > absl::ZeroDuration()) clock_.Advance(absl::Seconds(2));
  }
  ASSERT_GT(Guess("bob", "nat", true), options_.max_delay);
  EXPECT_EQ(Guess("ann", "nat", true), none_);
  EXPECT_EQ(Guess("ann", "nat"), none_);
}

TEST_F(ThrottleTest, ANetworkOfManyPeopleIsNoGuesser) {
  // A thousand log in from one address at once; one in ten mistypes, and most of these get it right then.
  for (int i = 0; i < 1000; ++i) {
    const std::string user = absl::StrCat("user", i);
    if (i % 10 == 0) {
      EXPECT_EQ(Guess(user, "nat"), none_) << i;
    }
    if (i % 30 != 0) {
      EXPECT_EQ(Guess(user, "nat", true), none_) << i;
    }
  }
  EXPECT_THAT(TakeAlarms(), IsEmpty());
}

TEST_F(ThrottleTest, AUserWhoGetsItRightNoLongerCountsAgainstTheAddress) {
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(Guess("ann", "a"), none_);
    EXPECT_EQ(Guess("ann", "a", true), none_);
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Guess(absl::StrCat("user", i), "a"), none_) << i;
  EXPECT_EQ(Guess("bob", "a", true), none_);
}

TEST_F(ThrottleTest, ForgetsHalfOfWhatAnAddressFailedInEachPeriod) {
  for (int i = 0; i < 21; ++i) Guess(absl::StrCat("user", i), "a");
  clock_.Advance(options_.forget);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(Guess(absl::StrCat("more", i), "a"), none_) << i;
  EXPECT_EQ(Guess("bob", "a", true), none_);
}

TEST_F(ThrottleTest, RefusesThoseWhoseTurnComesWhenTheAddressIsLockedOut) {
  options_.address_free_users = 1;
  options_.address_lockout_users = 2;
  std::vector<Throttle::Attempt> attempts;
  for (int i = 0; i < 10; ++i) {
    auto begun = throttle_.Begin({"Basic", absl::StrCat("user", i), "a"}, options_);
    ASSERT_TRUE(std::holds_alternative<Throttle::Attempt>(begun)) << "parallel guesses are admitted";
    attempts.push_back(std::get<Throttle::Attempt>(std::move(begun)));
  }
  int decided = 0;
  for (Throttle::Attempt& attempt : attempts) {
    if (attempt.Recheck().has_value()) continue;
    attempt.Failed();
    ++decided;
  }
  EXPECT_EQ(decided, 2);
  EXPECT_EQ(throttle_.lockouts(ThrottleKind::kAddress), 1u);
}

TEST_F(ThrottleTest, CallsManyUsersWithFewTriesEachASpray) {
  for (int i = 0; i < 99; ++i) Guess(absl::StrCat("user", i), absl::StrCat("bot", i % 40));
  EXPECT_THAT(TakeAlarms(), IsEmpty());
  Guess("user99", "bot41");
  EXPECT_THAT(TakeAlarms(), ElementsAre("2 Basic   0"));
  EXPECT_EQ(throttle_.spraying(), 1u);
  for (int i = 100; i < 200; ++i) Guess(absl::StrCat("user", i), absl::StrCat("bot", i));
  EXPECT_THAT(TakeAlarms(), IsEmpty()) << "it is told once";
  clock_.Advance(3 * options_.spray_window);
  throttle_.Tick();
  EXPECT_THAT(TakeAlarms(), ElementsAre("3 Basic   0"));
  EXPECT_EQ(throttle_.spraying(), 0u);
  EXPECT_EQ(throttle_.sprays(), 1u);
}

TEST_F(ThrottleTest, CallsNoSprayWhatIsSlowOrCorrectedOrAimedAtFew) {
  for (int i = 0; i < 300; ++i) {
    Guess(absl::StrCat("slow", i), absl::StrCat("home", i));
    clock_.Advance(absl::Seconds(20));
  }
  for (int i = 0; i < 300; ++i) {
    Guess(absl::StrCat("hasty", i), absl::StrCat("home", i));
    Guess(absl::StrCat("hasty", i), absl::StrCat("home", i), true);
  }
  clock_.Advance(absl::Hours(2));
  for (int i = 0; i < 90; ++i) {
    for (int bot = 0; bot < 20; ++bot) Guess(absl::StrCat("aim", i), absl::StrCat("bot", bot, ".", i));
  }
  EXPECT_THAT(TakeAlarms(), IsEmpty());
}

TEST_F(ThrottleTest, TellsOfEachLockout) {
  Fail(20, "ann", "a");
  EXPECT_THAT(TakeAlarms(), ElementsAre("0 Basic ann a 20"));
  EXPECT_EQ(throttle_.lockouts(ThrottleKind::kPair), 1u);
}

TEST_F(ThrottleTest, ListsWhoFailedAndWhoIsRefused) {
  Fail(3, "ann", "a");
  Guess("bob", "b", true);
  throttle_.Begin({"Basic", "hunter2", "a", false}, options_);
  EXPECT_THAT(Remembered(), UnorderedElementsAre("pair ann a 3", "address  a 1", "user ann  3"))
      << "neither who is right nor what was never decided";
  EXPECT_THAT(Remembered({.user = "ann"}), UnorderedElementsAre("pair ann a 3", "user ann  3"));
  EXPECT_THAT(Remembered({.address_key = "a"}), UnorderedElementsAre("pair ann a 3", "address  a 1"));
  EXPECT_THAT(Remembered({.user = "ann", .address_key = "a"}), ElementsAre("pair ann a 3"));
  EXPECT_THAT(Remembered({.scheme = "Other"}), IsEmpty());
  clock_.Advance(options_.forget);
  EXPECT_THAT(Remembered({.user = "ann"}), IsEmpty());
}

TEST_F(ThrottleTest, KeepsNoNameThatNobodyHas) {
  auto begun = throttle_.Begin({"Basic", "hunter2", "a", false}, options_);
  std::get<Throttle::Attempt>(begun).Failed();
  const std::vector<ThrottleEntry> found = throttle_.List({.user = "hunter2"}, AllOptions());
  ASSERT_EQ(found.size(), 2u) << "it is found by who knows it";
  EXPECT_EQ(found[0].user.substr(0, 8), "unknown:");
  EXPECT_EQ(found[0].user.size(), 20u);
  EXPECT_EQ(throttle_.Save().find("hunter2"), std::string::npos);
  EXPECT_EQ(throttle_.List({.user = found[0].user}, AllOptions()).size(), 2u) << "or by what the list says";
}

TEST_F(ThrottleTest, LetsInAgainWhoIsCleared) {
  Fail(20, "ann", "a");
  Fail(20, "ann", "b");
  Fail(20, "bob", "a");
  EXPECT_EQ(throttle_.Clear({.user = "ann", .address_key = "a"}, AllOptions()), 1u);
  EXPECT_EQ(Guess("ann", "a", true), none_);
  EXPECT_GT(Guess("ann", "b", true), none_);
  EXPECT_EQ(throttle_.Clear({.user = "ann"}, AllOptions()), 2u) << "the other address, and the user";
  EXPECT_EQ(Guess("ann", "b", true), none_);
  EXPECT_GT(Guess("bob", "a", true), none_);
  EXPECT_GE(throttle_.Clear({}, AllOptions()), 1u);
  EXPECT_THAT(Remembered(), IsEmpty());
  EXPECT_EQ(Guess("bob", "a", true), none_);
}

TEST_F(ThrottleTest, TakesNewOptionsWithoutForgetting) {
  Fail(6, "ann", "a");
  clock_.Advance(absl::Seconds(1));
  options_.lockout_failures = 7;
  options_.lockout = absl::Minutes(2);
  EXPECT_EQ(Guess("ann", "a"), none_);
  EXPECT_EQ(Guess("ann", "a"), absl::Minutes(2));
  options_.lockout = absl::Seconds(40);
  EXPECT_EQ(Guess("ann", "a"), absl::Seconds(40)) << "a shorter lock-out holds for those under way";
}

TEST_F(ThrottleTest, WhatIsSavedAndRestoredIsTheSame) {
  Fail(20, "ann", "a");
  for (int i = 0; i < 21; ++i) Guess(absl::StrCat("user", i), "spray");
  EXPECT_EQ(Guess("good", "home", true), none_);
  for (int i = 0; i < 51; ++i) Guess("good", absl::StrCat("bot", i));
  std::vector<std::string> before = Remembered();
  Throttle other(100'000, clock_);
  ASSERT_TRUE(other.Restore(throttle_.Save()).ok());
  EXPECT_EQ(other.List({}, AllOptions()).size(), before.size());
  const auto wait = [&](absl::string_view user, absl::string_view address) {
    auto begun = other.Begin({"Basic", user, address}, options_);
    const auto* refused = std::get_if<Throttle::Refused>(&begun);
    return refused == nullptr ? none_ : refused->retry_after;
  };
  EXPECT_EQ(wait("ann", "a"), options_.lockout);
  EXPECT_EQ(wait("bob", "spray"), absl::Seconds(1));
  EXPECT_EQ(wait("good", "elsewhere"), options_.user_delay);
  EXPECT_EQ(wait("good", "home"), none_) << "and who was verified is spared";
  clock_.Advance(absl::Minutes(10));
  EXPECT_EQ(wait("ann", "a"), absl::Minutes(5)) << "time goes on while nothing runs";
}

TEST_F(ThrottleTest, RestoresNothingOfWhatIsDamaged) {
  Fail(3, "ann", "a");
  const std::string saved = throttle_.Save();
  Throttle other(1000, clock_);
  for (size_t size = 0; size < saved.size(); ++size) {
    // A cut between two entries is a shorter list: the seal is what tells.
    if (other.Restore(saved.substr(0, size)).ok()) {
      EXPECT_LT(other.size(), 3u) << size;
    }
  }
  for (size_t at = 0; at < saved.size(); ++at) {
    std::string flipped = saved;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x80);
    (void)other.Restore(flipped);  // must not crash or hang
  }
  EXPECT_EQ(Throttle(10, clock_).Restore("x").code(), absl::StatusCode::kDataLoss);
}

TEST_F(ThrottleTest, WhoPaysNoHashPushesNobodyOut) {
  Throttle small(16, clock_);
  auto begun = small.Begin({"Basic", "ann", "a"}, options_);
  std::get<Throttle::Attempt>(begun).Failed();
  const size_t before = small.size();
  for (int i = 0; i < 10'000; ++i) small.Begin({"Basic", absl::StrCat("user", i), "b"}, options_);
  EXPECT_EQ(small.size(), before);
  EXPECT_EQ(small.List({.user = "ann"}, AllOptions()).size(), 2u);
}

TEST_F(ThrottleTest, DoesNotWaitLongerBecauseTheClockWasSetBack) {
  Fail(20, "ann", "a");
  clock_.Advance(-absl::Hours(48));
  EXPECT_LE(Guess("ann", "a"), options_.lockout);
}

TEST_F(ThrottleTest, HoldsABoundedNumberOfPairsAndIsSafeAcrossThreads) {
  Throttle small(64, clock_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&small, t] {
      for (int i = 0; i < 2000; ++i) {
        auto begun = small.Begin({"Basic", absl::StrCat("user", i % 300), absl::StrCat(t)}, {});
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
  EXPECT_EQ(AddressKey("192.0.2.1"), AddressKey("64:ff9b::192.0.2.1")) << "all of IPv4 is one /64 where it is translated";
  EXPECT_NE(AddressKey("192.0.2.1"), AddressKey("192.0.2.2"));
  EXPECT_EQ(AddressKey("2001:db8::1"), AddressKey("2001:db8:0:0:ffff::2"));
  EXPECT_NE(AddressKey("2001:db8::1"), AddressKey("2001:db8:0:1::1"));
  EXPECT_EQ(AddressKey("fe80::1%eth0"), AddressKey("fe80::1"));
  EXPECT_EQ(AddressKey("unix:"), "unix:");
}

TEST(AddressTextTest, SaysWhatCountsAsOneAddress) {
  EXPECT_EQ(AddressText(AddressKey("192.0.2.1")), "192.0.2.1");
  EXPECT_EQ(AddressText(AddressKey("2001:db8::1")), "2001:db8::/64");
  EXPECT_EQ(AddressText("unix:"), "unix:");
}

}  // namespace
}  // namespace gatehouse::credentials
