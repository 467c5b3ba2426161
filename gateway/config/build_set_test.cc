#include "gateway/config/build_set.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::config {
namespace {

using ::testing::ElementsAre;

ResourceMap Set(std::initializer_list<std::pair<const char*, const char*>> upstreams) {
  v1::ConfigSet set;
  for (const auto& [name, endpoint] : upstreams) {
    v1::Upstream* upstream = set.add_upstreams();
    upstream->set_name(name);
    upstream->add_endpoints(endpoint);
    (*upstream->mutable_labels())["b"] = "2";
    (*upstream->mutable_labels())["a"] = "1";
  }
  return ResourceMap(set);
}

v1::Delta DeltaBetween(const ResourceMap& from, const ResourceMap& to) {
  const SetDifference difference = Difference(from, to);
  v1::Delta delta;
  *delta.mutable_changed() = *Pick(to, difference.changed, 1 << 20);
  for (const ResourceKey& key : difference.removed) {
    v1::ResourceId* id = delta.add_removed();
    id->set_kind(static_cast<v1::Kind>(key.first));
    id->set_name(key.second);
  }
  delta.set_digest(std::string(AsView(to.digest())));
  return delta;
}

TEST(BuildSet, TellsWhatChangedAndWhatIsGone) {
  const SetDifference d =
      Difference(Set({{"a", "1"}, {"b", "1"}, {"c", "1"}}), Set({{"a", "1"}, {"b", "2"}, {"d", "1"}}));
  EXPECT_THAT(d.changed, ElementsAre(ResourceKey(v1::UPSTREAM, "b"), ResourceKey(v1::UPSTREAM, "d")));
  EXPECT_THAT(d.removed, ElementsAre(ResourceKey(v1::UPSTREAM, "c")));
  EXPECT_FALSE(d.empty());
}

TEST(BuildSet, ADeltaMakesOneSetOfTheOther) {
  const ResourceMap from = Set({{"a", "1"}, {"b", "1"}, {"c", "1"}});
  const ResourceMap to = Set({{"a", "1"}, {"b", "2"}, {"d", "1"}});
  const v1::Delta delta = DeltaBetween(from, to);
  EXPECT_EQ(delta.changed().upstreams_size(), 2);

  auto result = ApplyDelta(from, delta);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->digest(), to.digest());
  EXPECT_TRUE(Difference(*result, to).empty());
}

TEST(BuildSet, ADeltaOnTheWrongBaseIsRefused) {
  const v1::Delta delta = DeltaBetween(Set({{"a", "1"}}), Set({{"a", "2"}}));
  auto result = ApplyDelta(Set({{"a", "1"}, {"z", "1"}}), delta);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(BuildSet, PicksNoMoreThanItMay) {
  const ResourceMap all = Set({{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(Pick(all, {{v1::UPSTREAM, "a"}, {v1::UPSTREAM, "gone"}}, 1000)->upstreams_size(), 1);
  EXPECT_FALSE(Pick(all, {{v1::UPSTREAM, "a"}, {v1::UPSTREAM, "b"}}, 30).has_value());
}

}  // namespace
}  // namespace gatehouse::config
