#include "control/api/seats.h"

#include <vector>

#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

TEST(SeatsTest, OneCallerTakesAQuarterAndOthersStillGetIn) {
  Seats seats("watchers", 8);
  std::vector<std::unique_ptr<Seats::Seat>> taken;
  const auto take = [&](const char* who) {
    auto seat = seats.Take(who);
    if (!seat.ok()) return std::string(seat.status().message());
    taken.push_back(*std::move(seat));
    return std::string();
  };
  EXPECT_EQ(take("reader") + take("reader"), "");
  EXPECT_EQ(take("reader"), "reader has 2 watchers already; end some");
  EXPECT_EQ(take("owner"), "");
  taken.erase(taken.begin());
  EXPECT_EQ(take("reader"), "") << "what is given back can be taken";
  for (const char* who : {"a", "a", "b", "b", "c"}) EXPECT_EQ(take(who), "");
  EXPECT_EQ(take("d"), "there are 8 watchers already");
  taken.clear();
  EXPECT_EQ(take("d"), "");
}

}  // namespace
}  // namespace gatehouse::api
