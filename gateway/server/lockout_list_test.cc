#include "gateway/server/lockout_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

using credentials::Throttle;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class LockoutListTest : public ::testing::Test {
 protected:
  LockoutListTest() {
    credentials::BasicScheme basic;
    basic.name = "Basic";
    basic.throttle.forget = absl::Hours(1);
    config::Scheme& scheme = snapshot_.schemes.emplace_back();
    scheme.name = "Basic";
    scheme.kind = std::make_shared<const credentials::BasicScheme>(basic);
    options_ = basic.throttle;
    desk_ = *LockoutDesk::Open({.clock = &clock_});
    desk_->Start([this](const events::Event& event) { told_.push_back(event.facts->detail); });
  }
  void Fail(int n, absl::string_view user, absl::string_view address) {
    for (int i = 0; i < n;) {
      auto begun = desk_->throttle().Begin({"Basic", user, credentials::AddressKey(address), true}, options_);
      if (auto* refused = std::get_if<Throttle::Refused>(&begun)) {
        clock_.Advance(refused->retry_after);
        continue;
      }
      std::get<Throttle::Attempt>(begun).Failed();
      ++i;
    }
  }
  std::vector<std::string> List(v1::ListLockoutsRequest request) {
    absl::StatusOr<v1::ListLockoutsResponse> listed = ListLockouts(snapshot_, request, *desk_, clock_.Now());
    if (!listed.ok()) return {std::string(listed.status().message())};
    std::vector<std::string> out;
    for (const v1::Lockout& l : listed->lockouts()) {
      out.push_back(absl::StrCat(v1::Lockout::Kind_Name(l.kind()), " ", l.user(), " ", l.address(), " ", l.failures(), " ",
                                 l.has_refused_until() ? l.refused_until().seconds() - absl::ToUnixSeconds(clock_.Now()) : 0,
                                 l.locked_out() ? " locked" : ""));
    }
    return out;
  }
  v1::ListLockoutsRequest Of(const std::string& address) {
    v1::ListLockoutsRequest request;
    request.mutable_filter()->set_address(address);
    request.set_all(true);
    return request;
  }

  FakeClock clock_;
  config::Snapshot snapshot_;
  credentials::ThrottleOptions options_;
  std::vector<std::string> told_;
  std::unique_ptr<LockoutDesk> desk_;
};

TEST_F(LockoutListTest, ShowsWhoIsRefusedLongestFirstAndOnRequestWhoIsNot) {
  Fail(1, "bob", "192.0.2.2");
  Fail(20, "ann", "192.0.2.1");
  Fail(6, "eve", "192.0.2.3");
  EXPECT_THAT(List({}), ElementsAre("USER_AND_ADDRESS ann 192.0.2.1 20 900 locked", "USER_AND_ADDRESS eve 192.0.2.3 6 1"));
  v1::ListLockoutsRequest all;
  all.set_all(true);
  EXPECT_EQ(List(all).size(), 9u) << "three pairs, three addresses, three users";
  clock_.Advance(10 * options_.forget);
  EXPECT_TRUE(List(all).empty());
}

TEST_F(LockoutListTest, TakesAddressesAndNetworksAndNothingElse) {
  Fail(1, "ann", "2001:db8::1");
  for (const char* same : {"2001:db8::1", "2001:db8::ffff", "2001:db8::/64"}) {
    EXPECT_THAT(List(Of(same)), UnorderedElementsAre("ADDRESS  2001:db8::/64 1 0", "USER_AND_ADDRESS ann 2001:db8::/64 1 0"))
        << same;
  }
  EXPECT_TRUE(List(Of("2001:db8:0:1::1")).empty());
  for (const char* bad : {"10.0.0.0/8", "2001:db8::/48", "localhost", "1.2.3", "10.0.0.1/24"}) {
    EXPECT_THAT(List(Of(bad)), ElementsAre(HasSubstr("filter.address: "))) << bad;
  }
}

TEST_F(LockoutListTest, ClearsWhatTheFilterChoosesAndSaysSo) {
  Fail(20, "ann", "192.0.2.1");
  Fail(20, "ann", "192.0.2.2");
  told_.clear();
  v1::ClearLockoutsRequest request;
  request.mutable_filter()->set_user("ann");
  request.mutable_filter()->set_address("192.0.2.1");
  EXPECT_EQ(ClearLockouts(snapshot_, request, *desk_)->cleared(), 1u);
  EXPECT_THAT(told_, ElementsAre("lock-outs were cleared: user \"ann\", address \"192.0.2.1\"; 1 entries"));
  EXPECT_THAT(List({}), ElementsAre("USER_AND_ADDRESS ann 192.0.2.2 20 900 locked"));
  request.mutable_filter()->set_address("nowhere");
  EXPECT_EQ(ClearLockouts(snapshot_, request, *desk_).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gatehouse::server
