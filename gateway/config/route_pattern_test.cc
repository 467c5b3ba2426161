#include "gateway/config/route_pattern.h"

#include "gtest/gtest.h"

namespace gatehouse::config {
namespace {

TEST(RoutePattern, TakesCanonicalPaths) {
  struct {
    const char* text;
    PathKind kind;
    const char* shape;
  } const kCases[] = {
      {"/", PathKind::kExact, "/"},
      {"/a/b", PathKind::kExact, "/a/b"},
      {"/a/", PathKind::kExact, "/a/"},
      {"/a/{x}/c", PathKind::kTemplate, "/a/{}/c"},
      {"/{rest...}", PathKind::kPrefix, "/{...}"},
      {"/a/{x}/{rest...}", PathKind::kPrefix, "/a/{}/{...}"},
      {"/a%20b", PathKind::kExact, "/a%20b"},
      {"/v1.0/$metadata;x=1", PathKind::kExact, "/v1.0/$metadata;x=1"},
  };
  for (const auto& c : kCases) {
    absl::StatusOr<PathPattern> pattern = PathPattern::Parse(c.text);
    ASSERT_TRUE(pattern.ok()) << c.text << ": " << pattern.status();
    EXPECT_EQ(pattern->kind, c.kind) << c.text;
    EXPECT_EQ(pattern->Shape(), c.shape);
  }
}

TEST(RoutePattern, RefusesPathsThatNoRequestCanHave) {
  for (const char* text : {"", "a", "//", "/a//b", "/./a", "/a/..", "/a?b", "/a#b", "/a b", "/%41", "/%2f", "/%2F", "/%zz",
                           "/%4", "/a%0A", "/\xc3\xa4", "/{", "/{}", "/a{x}", "/{x}/{x}", "/{rest...}/a", "/{...}", "/{a b}",
                           "/a\\b", "/a|b"}) {
    EXPECT_FALSE(PathPattern::Parse(text).ok()) << text;
  }
}

TEST(RoutePattern, MatchesPaths) {
  const auto matches = [](const char* pattern, const char* path) { return PathPattern::Parse(pattern)->Matches(path); };
  EXPECT_TRUE(matches("/a", "/a"));
  EXPECT_FALSE(matches("/a", "/a/"));
  EXPECT_FALSE(matches("/a", "/A"));
  EXPECT_TRUE(matches("/a/{x}", "/a/b"));
  EXPECT_FALSE(matches("/a/{x}", "/a/"));
  EXPECT_FALSE(matches("/a/{x}", "/a/b/c"));
  EXPECT_TRUE(matches("/a/{r...}", "/a/"));
  EXPECT_TRUE(matches("/a/{r...}", "/a/b/c"));
  EXPECT_FALSE(matches("/a/{r...}", "/a"));
  EXPECT_FALSE(matches("/a/{r...}", "/ab"));
  EXPECT_TRUE(matches("/{r...}", "/"));
  EXPECT_FALSE(matches("/{r...}", "*"));
}

TEST(RoutePattern, HostsAreNamesWildcardsAndAddresses) {
  for (const char* text : {"a", "shop.example", "*.example", "127.0.0.1", "[::1]", "a-b.c_d"}) {
    EXPECT_TRUE(HostPattern::Parse(text).ok()) << text;
  }
  for (const char* text : {"", "*", "*.", "Shop.example", "a:80", "::1", "a..b", ".a", "-a", "a.*", "*a.b", "*.*.b", "a b", "*.[::1]"}) {
    EXPECT_FALSE(HostPattern::Parse(text).ok()) << text;
  }
  const HostPattern wildcard = *HostPattern::Parse("*.example");
  EXPECT_TRUE(wildcard.Matches("a.example"));
  EXPECT_TRUE(wildcard.Matches("a.b.example"));
  EXPECT_FALSE(wildcard.Matches("example"));
  EXPECT_FALSE(wildcard.Matches(".example"));
  EXPECT_FALSE(wildcard.Matches("badexample"));
  EXPECT_EQ(wildcard.ToString(), "*.example");
}

}  // namespace
}  // namespace gatehouse::config
