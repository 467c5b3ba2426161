// What a policy costs on the request path: nothing of the heap. Apart from the other tests, since it counts every allocation of
// its process.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "absl/strings/str_cat.h"
#include "gateway/identity/claims.h"
#include "gateway/identity/policy.h"

namespace {
size_t allocations = 0;
}

void* operator new(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
// Not inline: gcc takes the free() below for one of memory that its own operator new gave.
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace gatehouse::identity {
namespace {

TEST(PolicyCostTest, ClaimsAddressesTimesAndReferencesAllocateNothing) {
  Part part;
  part.scheme = "Basic";
  for (int i = 0; i < 50; ++i) part.claims.push_back({"group", absl::StrCat("a group with a long name, number ", i), "people", "Basic"});
  const IdentityRef caller = Identity::Of(std::move(part));
  const auto claim = [](MatchKind kind, std::string value, bool ignore_case = false) {
    return Condition{.claim = {"group", "Basic", "people", kind, std::move(value), {}, {}, ignore_case}};
  };
  Condition one_of{.claim = {.type = "group"}};
  for (int i = 0; i < 500; ++i) one_of.claim.one_of.push_back(absl::StrCat("another group with a long name ", i));
  one_of.claim.one_of.push_back("a group with a long name, number 49");
  Condition address{.kind = ConditionKind::kAddress};
  address.address.ranges = {*ParseClientRange("192.0.2.0/24"), *ParseClientRange("10.0.0.0/8")};
  Condition time{.kind = ConditionKind::kTime};
  time.time.zone = *ParseTimeZone("Europe/Berlin");
  time.time.zone_name = "Europe/Berlin";
  time.time.from = 0, time.time.to = 24 * 3600;
  const PolicyRef inner = Policy::Create({"inner", {.kind = ConditionKind::kAllOf, .children = {address, time}}, ""}, nullptr);
  const PolicyRef policy = Policy::Create(
      {"outer",
       {.kind = ConditionKind::kAllOf,
        .children = {claim(MatchKind::kExact, "a group with a long name, number 49"), claim(MatchKind::kPrefix, "A GROUP", true),
                     claim(MatchKind::kSuffix, "number 48"), claim(MatchKind::kPresent, ""), claim(MatchKind::kRegex, ".*number 4[89]"),
                     one_of,
                     {.kind = ConditionKind::kPolicy, .policy = inner},
                     {.kind = ConditionKind::kNoneOf, .children = {claim(MatchKind::kExact, "suspended")}}}},
       ""},
      nullptr);
  ASSERT_NE(policy, nullptr);
  const std::vector<uint8_t> from = {10, 1, 2, 3};
  const Facts facts{*caller, from, absl::FromUnixSeconds(1'750'000'000)};
  ASSERT_TRUE(policy->Holds(facts));  // also warms up what regular expressions remember
  const size_t before = allocations;
  bool all = true;
  for (int i = 0; i < 1000; ++i) all = all && policy->Holds(facts);
  const size_t made = allocations - before;
  EXPECT_TRUE(all);
  EXPECT_EQ(made, 0u);
}

}  // namespace
}  // namespace gatehouse::identity
