#include "gateway/base/recycled.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <thread>
#include <vector>

namespace gatehouse {
namespace {

struct Thing final : Recycled<Thing> {
  explicit Thing(int v) : value(v) {}
  int value;
  char rest[100];
};

TEST(RecycledTest, ObjectsThatLiveAtOnceHavePlacesOfTheirOwn) {
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Thing>> things;
    std::set<void*> places;
    for (int i = 0; i < 3000; ++i) {
      things.push_back(std::make_unique<Thing>(i));
      places.insert(things.back().get());
    }
    EXPECT_EQ(places.size(), things.size());
    for (int i = 0; i < 3000; ++i) ASSERT_EQ(things[static_cast<size_t>(i)]->value, i);
  }
}

TEST(RecycledTest, ThePlaceOfOneIsTheNextOnes) {
  if (kAddressSanitizer) return;
  void* place = nullptr;
  {
    auto first = std::make_unique<Thing>(1);
    place = first.get();
  }
  EXPECT_EQ(std::make_unique<Thing>(2).get(), place);
}

TEST(RecycledTest, AnObjectMayDieOnAnotherThread) {
  std::vector<std::unique_ptr<Thing>> things;
  std::thread([&] {
    for (int i = 0; i < 100; ++i) things.push_back(std::make_unique<Thing>(i));
  }).join();
  EXPECT_EQ(things[99]->value, 99);
  std::thread([&] { things.clear(); }).join();
  EXPECT_TRUE(things.empty());
}

}  // namespace
}  // namespace gatehouse
