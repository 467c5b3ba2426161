#include "gateway/config/suggest.h"

#include "gtest/gtest.h"

namespace gatehouse::config {
namespace {

TEST(Suggest, CountsEditsWithoutRegardToCase) {
  EXPECT_EQ(EditDistance("Basci", "Basic", 3), 1u);
  EXPECT_EQ(EditDistance("basic", "BASIC", 3), 0u);
  EXPECT_EQ(EditDistance("kitten", "sitting", 3), 3u);
  EXPECT_EQ(EditDistance("", "abc", 3), 3u);
  EXPECT_EQ(EditDistance("abcdef", "uvwxyz", 3), 4u);
  EXPECT_EQ(EditDistance("a", "abcdefgh", 3), 4u);
}

TEST(Suggest, NamesTheNearest) {
  EXPECT_EQ(DidYouMean("Basci", {"Certificate", "Basil-store", "Basic"}), "; did you mean \"Basic\"?");
  EXPECT_EQ(DidYouMean("Basci", {"Certificate", "Token"}), "");
  EXPECT_EQ(DidYouMean("x", {}), "");
  EXPECT_EQ(DidYouMean("ab", {"yz"}), "");
}

}  // namespace
}  // namespace gatehouse::config
