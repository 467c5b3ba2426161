#include "gateway/config/rewrite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gatehouse::config {
namespace {

using ::testing::HasSubstr;

std::string Rewritten(absl::string_view pattern, absl::string_view prefix, absl::string_view path) {
  absl::StatusOr<Rewrite> rewrite = Rewrite::ParsePrefix(prefix, *PathPattern::Parse(pattern));
  return rewrite.ok() ? rewrite->Path(path) : std::string(rewrite.status().message());
}

TEST(RewriteTest, ReplacesWhatLiesBeforeTheRest) {
  EXPECT_EQ(Rewritten("/api/{rest...}", "/v1/", "/api/x"), "/v1/x");
  EXPECT_EQ(Rewritten("/api/{rest...}", "/v1/", "/api/"), "/v1/");
  EXPECT_EQ(Rewritten("/api/{rest...}", "/", "/api/x/y%20z/"), "/x/y%20z/");
  EXPECT_EQ(Rewritten("/{rest...}", "/deep/er/", "/x"), "/deep/er/x");
  EXPECT_EQ(Rewritten("/t/{tenant}/api/{rest...}", "/v1/", "/t/7/api/x/y"), "/v1/x/y");
}

TEST(RewriteTest, ReplacesTheWholePathWhereThereIsNoRest) {
  EXPECT_EQ(Rewritten("/health", "/internal/health", "/health"), "/internal/health");
  EXPECT_EQ(Rewritten("/u/{id}", "/user", "/u/7"), "/user");
  EXPECT_EQ(Rewritten("/u/{id}", "", "/u/7"), "/u/7");
}

TEST(RewriteTest, RefusesWhatWouldNotBeCanonical) {
  EXPECT_THAT(Rewritten("/api/{rest...}", "/v1", "/api/x"), HasSubstr("must end in /"));
  EXPECT_THAT(Rewritten("/api/{rest...}", "v1/", "/api/x"), HasSubstr("begin with /"));
  EXPECT_THAT(Rewritten("/api/{rest...}", "/a/../", "/api/x"), HasSubstr("dot segment"));
  EXPECT_THAT(Rewritten("/api/{rest...}", "/a\r\nX: y/", "/api/x"), HasSubstr("percent-encoded"));
  EXPECT_THAT(Rewritten("/api/{rest...}", "/{rest...}", "/api/x"), HasSubstr("variables"));
  EXPECT_THAT(Rewritten("/api/{rest...}", "/a?b/", "/api/x"), HasSubstr("query"));
}

TEST(RewriteTest, TakesOneHostWithOrWithoutPort) {
  for (absl::string_view good : {"inner.example", "inner", "inner.example:8080", "10.0.0.1", "[::1]", "[::1]:8080"}) {
    EXPECT_TRUE(Rewrite::CheckHost(good).ok()) << good;
  }
  for (absl::string_view bad : {"*.example", "Inner", "a b", "a:0", "a:65536", "a:", "a:+1", "a:080", "u@a", "a\r\nb", "http://a", "a/b"}) {
    EXPECT_FALSE(Rewrite::CheckHost(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace gatehouse::config
