#include "gateway/config/build_set.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::ConfigSet Set(std::initializer_list<std::pair<const char*, const char*>> upstreams) {
  v1::ConfigSet set;
  for (const auto& [name, endpoint] : upstreams) {
    v1::Upstream* upstream = set.add_upstreams();
    upstream->set_name(name);
    upstream->add_endpoints(endpoint);
    (*upstream->mutable_labels())["b"] = "2";
    (*upstream->mutable_labels())["a"] = "1";
  }
  return set;
}

v1::Delta DeltaBetween(const v1::ConfigSet& from, const v1::ConfigSet& to) {
  const SetIndex target = IndexOf(to);
  const SetDifference difference = Difference(IndexOf(from), target);
  v1::Delta delta;
  *delta.mutable_changed() = Pick(to, difference.changed);
  for (const ResourceKey& key : difference.removed) {
    v1::ResourceId* id = delta.add_removed();
    id->set_kind(static_cast<v1::Kind>(key.first));
    id->set_name(key.second);
  }
  delta.set_digest(std::string(AsView(target.digest)));
  return delta;
}

TEST(BuildSet, TheDigestIsOverEachResourcePrecededByItsLength) {
  v1::ConfigSet set;
  set.add_routes()->set_name("r");
  set.add_upstreams()->set_name("b");
  set.add_upstreams()->set_name("a");
  std::string expected;
  for (const char* name : {"a", "b", "r"}) {
    v1::Resource resource;
    if (*name == 'r') {
      resource.mutable_route()->set_name(name);
    } else {
      resource.mutable_upstream()->set_name(name);
    }
    const std::string bytes = resource.SerializeAsString();
    expected += std::string(7, '\0') + static_cast<char>(bytes.size()) + bytes;
  }
  EXPECT_EQ(IndexOf(set).digest, Sha256(expected));
}

TEST(BuildSet, TheDigestDoesNotDependOnTheOrderOfTheList) {
  EXPECT_EQ(IndexOf(Set({{"a", "1"}, {"b", "2"}})).digest, IndexOf(Set({{"b", "2"}, {"a", "1"}})).digest);
  EXPECT_NE(IndexOf(Set({{"a", "1"}, {"b", "2"}})).digest, IndexOf(Set({{"a", "1"}, {"b", "3"}})).digest);
}

TEST(BuildSet, TellsWhatChangedAndWhatIsGone) {
  const SetDifference d =
      Difference(IndexOf(Set({{"a", "1"}, {"b", "1"}, {"c", "1"}})), IndexOf(Set({{"a", "1"}, {"b", "2"}, {"d", "1"}})));
  EXPECT_THAT(d.changed, ElementsAre(ResourceKey(v1::UPSTREAM, "b"), ResourceKey(v1::UPSTREAM, "d")));
  EXPECT_THAT(d.removed, ElementsAre(ResourceKey(v1::UPSTREAM, "c")));
  EXPECT_FALSE(d.empty());
}

TEST(BuildSet, ADeltaMakesOneSetOfTheOther) {
  const v1::ConfigSet from = Set({{"a", "1"}, {"b", "1"}, {"c", "1"}});
  const v1::ConfigSet to = Set({{"a", "1"}, {"b", "2"}, {"d", "1"}});
  const v1::Delta delta = DeltaBetween(from, to);
  EXPECT_EQ(delta.changed().upstreams_size(), 2);

  auto result = ApplyDelta(from, delta);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(IndexOf(*result).digest, IndexOf(to).digest);
  EXPECT_THAT(Difference(IndexOf(*result), IndexOf(to)).changed, IsEmpty());
}

TEST(BuildSet, ADeltaOnTheWrongBaseIsRefused) {
  const v1::Delta delta = DeltaBetween(Set({{"a", "1"}}), Set({{"a", "2"}}));
  auto result = ApplyDelta(Set({{"a", "1"}, {"z", "1"}}), delta);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace gatehouse::config
