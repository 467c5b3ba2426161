#include "gateway/config/build_resource_map.h"

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ResourceRef Upstream(const std::string& name, const std::string& endpoint) {
  auto resource = std::make_shared<v1::Resource>();
  resource->mutable_upstream()->set_name(name);
  resource->mutable_upstream()->add_endpoints(endpoint);
  return resource;
}

ResourceRef Route(const std::string& name) {
  auto resource = std::make_shared<v1::Resource>();
  resource->mutable_route()->set_name(name);
  return resource;
}

std::vector<std::string> Names(const ResourceMap& map) {
  std::vector<std::string> names;
  for (const auto& [key, resource] : map) names.push_back(absl::StrCat(key.first, key.second));
  return names;
}

std::vector<std::string> Differences(const ResourceMap& from, const ResourceMap& to) {
  std::vector<std::string> found;
  ResourceMap::Compare(from, to, [&](const ResourceKey& key, const ResourceRef* before, const ResourceRef* after) {
    found.push_back(absl::StrCat(before == nullptr ? "+" : after == nullptr ? "-" : "~", key.second));
  });
  return found;
}

TEST(ResourceMap, IsInOrderOfKindAndName) {
  ResourceMap map;
  for (const ResourceRef& resource : {Route("a"), Upstream("b", "1"), Upstream("a", "1")}) map[KeyOf(*resource)] = resource;
  EXPECT_THAT(Names(map), ElementsAre("7a", "7b", "8a"));
  EXPECT_EQ(map.at({v1::UPSTREAM, "b"})->upstream().endpoints(0), "1");
  EXPECT_EQ(map.count({v1::UPSTREAM, "c"}), 0u);
  EXPECT_EQ(map.upper_bound({v1::UPSTREAM, "a"})->first.second, "b");
  EXPECT_EQ(std::prev(map.end())->first.second, "a");
  map.erase({v1::UPSTREAM, "a"});
  map.erase({v1::UPSTREAM, "never"});
  EXPECT_THAT(Names(map), ElementsAre("7b", "8a"));
  map.clear();
  EXPECT_THAT(Names(map), IsEmpty());
  EXPECT_EQ(map.begin(), map.end());
}

// Against std::map, over random changes: the same content, and a digest and differences that do not depend on how it was made.
TEST(ResourceMap, IsWhatAPlainMapIsAndItsDigestKnowsOnlyTheContent) {
  std::mt19937 random(7);
  std::map<ResourceKey, ResourceRef> plain;
  ResourceMap map;
  ResourceMap before;
  std::map<ResourceKey, ResourceRef> plain_before;
  for (int step = 0; step < 20'000; ++step) {
    const std::string name = absl::StrCat("n", random() % 1500);
    if (random() % 3 == 0) {
      map.erase({v1::UPSTREAM, name});
      plain.erase({v1::UPSTREAM, name});
    } else {
      const ResourceRef resource = Upstream(name, absl::StrCat(random() % 3));
      map[KeyOf(*resource)] = plain[KeyOf(*resource)] = resource;
    }
    if (step % 1000 != 0) continue;
    ASSERT_EQ(map.size(), plain.size());
    ASSERT_TRUE(std::equal(map.begin(), map.end(), plain.begin(), plain.end(),
                           [](const auto& a, const auto& b) { return a.first == b.first && a.second == b.second; }));
    ResourceMap backwards;
    for (auto it = plain.rbegin(); it != plain.rend(); ++it) backwards[it->first] = std::make_shared<v1::Resource>(*it->second);
    ASSERT_EQ(backwards.digest(), map.digest());
    ASSERT_TRUE(ResourceMap::SameKind(backwards, map, v1::UPSTREAM));
    std::vector<std::string> expected;
    std::map<ResourceKey, std::string> all;
    for (const auto& [key, r] : plain_before) all[key] = "-";
    for (const auto& [key, r] : plain) {
      auto old = plain_before.find(key);
      if (old == plain_before.end()) {
        all[key] = "+";
      } else if (SameResource(*old->second, *r)) {
        all.erase(key);
      } else {
        all[key] = "~";
      }
    }
    for (const auto& [key, sign] : all) expected.push_back(sign + key.second);
    ASSERT_EQ(Differences(before, map), expected);
    for (const auto& [key, r] : plain) ASSERT_EQ(map.find(key)->second, r);
    before = map;
    plain_before = plain;
  }
}

TEST(ResourceMap, ACopyDoesNotFeelWhatBecomesOfTheOther) {
  ResourceMap map;
  for (int i = 0; i < 1000; ++i) map[{v1::UPSTREAM, absl::StrCat(i)}] = Upstream(absl::StrCat(i), "1");
  const ResourceMap copy = map;
  const Sha256Digest digest = copy.digest();
  map[{v1::UPSTREAM, "500"}] = Upstream("500", "2");
  map.erase({v1::UPSTREAM, "501"});
  EXPECT_EQ(copy.size(), 1000u);
  EXPECT_EQ(copy.at({v1::UPSTREAM, "500"})->upstream().endpoints(0), "1");
  EXPECT_EQ(copy.digest(), digest);
  EXPECT_NE(map.digest(), digest);
  EXPECT_THAT(Differences(copy, map), ElementsAre("~500", "-501"));
}

TEST(ResourceMap, AKindIsTheSameWhateverLiesAround) {
  ResourceMap a;
  for (int i = 0; i < 1000; ++i) a[{v1::ROUTE, absl::StrCat(i)}] = Route(absl::StrCat(i));
  ResourceMap b = a;
  b[{v1::UPSTREAM, "u"}] = Upstream("u", "1");
  EXPECT_TRUE(ResourceMap::SameKind(a, b, v1::ROUTE));
  EXPECT_FALSE(ResourceMap::SameKind(a, b, v1::UPSTREAM));
  b.erase({v1::ROUTE, "999"});
  EXPECT_FALSE(ResourceMap::SameKind(a, b, v1::ROUTE));
}

TEST(ResourceMap, ItsWireFormIsThatOfTheSet) {
  v1::ConfigSet set;
  set.add_routes()->set_name("r");
  set.add_upstreams()->set_name("b");
  set.add_upstreams()->set_name("a");
  set.add_upstreams()->set_name("b");
  set.mutable_upstreams(2)->add_endpoints("ignored: the name is taken");
  const ResourceMap map(set);
  EXPECT_THAT(Names(map), ElementsAre("7a", "7b", "8r"));
  v1::ConfigSet back;
  ASSERT_TRUE(back.ParseFromString(WireOf(map)));
  EXPECT_EQ(back.SerializeAsString(), SetOf(map).SerializeAsString());
  EXPECT_EQ(ResourceMap(back).digest(), map.digest());
}

}  // namespace
}  // namespace gatehouse::config
