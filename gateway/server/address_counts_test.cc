#include "gateway/server/address_counts.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace gatehouse::server {
namespace {

TEST(AddressCountsTest, GrantsAsManyPlacesAsTheLimitAllowsEachAddress) {
  auto counts = std::make_shared<AddressCounts>();
  std::vector<AddressCounts::Place> places;
  for (int i = 0; i < 3; ++i) places.push_back(counts->Take("a", 3));
  for (const AddressCounts::Place& place : places) EXPECT_TRUE(place.granted());
  EXPECT_FALSE(counts->Take("a", 3).granted());
  EXPECT_TRUE(counts->Take("b", 3).granted());
  EXPECT_EQ(places[0].key(), "a");
}

TEST(AddressCountsTest, APlaceThatGoesIsFreeAgain) {
  auto counts = std::make_shared<AddressCounts>();
  std::optional<AddressCounts::Place> place = counts->Take("a", 1);
  EXPECT_FALSE(counts->Take("a", 1).granted()) << "and what was refused is not counted";
  AddressCounts::Place moved = std::move(*place);
  place.reset();
  EXPECT_FALSE(counts->Take("a", 1).granted());
  moved = AddressCounts::Place();
  EXPECT_EQ(counts->addresses(), 0u);
  EXPECT_TRUE(counts->Take("a", 1).granted());
}

TEST(AddressCountsTest, WithoutALimitItCountsStillSoThatOneThatComesLaterHoldsForAll) {
  auto counts = std::make_shared<AddressCounts>();
  AddressCounts::Place first = counts->Take("a", 0), second = counts->Take("a", 0);
  EXPECT_TRUE(first.granted() && second.granted());
  EXPECT_FALSE(counts->Take("a", 2).granted());
}

}  // namespace
}  // namespace gatehouse::server
