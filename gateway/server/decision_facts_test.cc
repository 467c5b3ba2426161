#include "gateway/server/decision_facts.h"

#include <vector>

#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

identity::IdentityRef Of(const identity::PartRef& part) { return std::make_shared<const identity::Identity>(std::vector{part}); }

class DecisionFactsTest : public testing::Test {
 protected:
  // Whether they were made anew.
  bool Made(const DecisionFacts::Key& key) {
    bool made = false;
    auto fresh = std::make_shared<events::Facts>();
    const auto& found = memory_.Find(key, [&] {
      made = true;
      return fresh;
    });
    EXPECT_EQ(found == fresh, made);
    return made;
  }

  const identity::PartRef alice_ = std::make_shared<const identity::Part>(), bob_ = std::make_shared<const identity::Part>();
  const identity::IdentityRef nobody_;
  DecisionFacts memory_;
};

TEST_F(DecisionFactsTest, WhatTheSameDecisionNeedsIsMadeOnce) {
  const identity::IdentityRef identity = Of(alice_);
  EXPECT_TRUE(Made({1, 2, 3, identity}));
  EXPECT_FALSE(Made({1, 2, 3, identity}));
  EXPECT_FALSE(Made({1, 2, 3, Of(alice_)})) << "put together anew, of the same part";
}

TEST_F(DecisionFactsTest, WhateverTellsTwoDecisionsApartMakesThemAnew) {
  const identity::IdentityRef identity = Of(alice_);
  const DecisionFacts::Key usual{1, 2, 3, identity};
  const identity::IdentityRef both = std::make_shared<const identity::Identity>(std::vector{alice_, bob_}), other = Of(bob_);
  const DecisionFacts::Key others[] = {{2, 2, 3, identity}, {1, 6, 3, identity}, {1, 2, 4, identity}, {1, 2, 3, other}, {1, 2, 3, both}, {1, 2, 3, nobody_}};
  EXPECT_TRUE(Made(usual));
  for (const DecisionFacts::Key& key : others) {
    EXPECT_TRUE(Made(key));
    EXPECT_TRUE(Made(usual));
    EXPECT_FALSE(Made(usual));
  }
  EXPECT_TRUE(Made({1, UINT32_MAX, UINT32_MAX, nobody_}));
  EXPECT_FALSE(Made({1, UINT32_MAX, UINT32_MAX, nobody_}));
}

TEST_F(DecisionFactsTest, FourRoutesInTurnAreAllRemembered) {
  for (uint32_t route = 0; route < 4; ++route) EXPECT_TRUE(Made({1, route, 0, nobody_}));
  for (uint32_t route = 0; route < 4; ++route) EXPECT_FALSE(Made({1, route, 0, nobody_}));
}

}  // namespace
}  // namespace gatehouse::server
