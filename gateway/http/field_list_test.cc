#include "gateway/http/field_list.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace gatehouse::http {
namespace {

// Few letters and lengths, so that many names share a mark.
std::string AnyName(std::mt19937& random) {
  std::string name(random() % 4, 'a');
  for (char& c : name) c = "abX-"[random() % 4];
  return name;
}

TEST(FieldListTest, FindsAndCountsAsALookAtEveryFieldWould) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    FieldList list;
    std::vector<std::pair<std::string, std::string>> plain;
    for (size_t n = random() % 12; n > 0; --n) {
      const std::string name = AnyName(random);
      const std::string value(random() % 3, 'v');
      list.Add(name, value);
      plain.emplace_back(absl::AsciiStrToLower(name), value);
    }
    if (random() % 2 == 0) {
      const std::string gone = absl::AsciiStrToLower(AnyName(random));
      list.Remove(gone);
      std::erase_if(plain, [&](const auto& field) { return field.first == gone; });
    }
    if (random() % 3 == 0) list = FieldList(std::move(list));
    for (int i = 0; i < 40; ++i) {
      const std::string name = absl::AsciiStrToLower(AnyName(random));
      const auto same = [&](const auto& field) { return field.first == name; };
      const auto first = std::find_if(plain.begin(), plain.end(), same);
      EXPECT_EQ(list.Count(name), static_cast<size_t>(std::count_if(plain.begin(), plain.end(), same)));
      EXPECT_EQ(list.Has(name), first != plain.end());
      EXPECT_TRUE(first == plain.end() || *list.Find(name) == first->second);
    }
  }
}

TEST(FieldListTest, ItKnowsItsOwnOctets) {
  FieldList list;
  list.Add("host", "gate.test");
  FieldList::Slice at;
  const absl::string_view own = *list.Find("host");
  ASSERT_TRUE(list.Locate(own.substr(5), &at));
  EXPECT_EQ(list.View(at), "test");
  EXPECT_TRUE(list.Locate(own.substr(9), &at)) << "empty, at the end";
  EXPECT_EQ(at.length, 0u);
  const std::string other = "gate.test";
  EXPECT_FALSE(list.Locate(other, &at));
  EXPECT_FALSE(list.Locate(absl::string_view(own.data(), own.size() + 1), &at)) << "goes on behind the end";
  EXPECT_FALSE(list.Locate({}, &at));
}

TEST(FieldListTest, AClearedListHasNothing) {
  FieldList list;
  list.Add("Connection", "close, Upgrade");
  EXPECT_TRUE(list.HasToken("connection", "upgrade"));
  list.Clear();
  EXPECT_FALSE(list.Has("connection"));
  EXPECT_FALSE(list.HasToken("connection", "upgrade"));
  list.Add("te", "trailers");
  EXPECT_EQ(list.Count("te"), 1u);
}

}  // namespace
}  // namespace gatehouse::http
