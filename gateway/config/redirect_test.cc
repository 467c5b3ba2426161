#include "gateway/config/redirect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gatehouse::config {
namespace {

using ::testing::HasSubstr;

PathPattern Pattern(absl::string_view text) { return *PathPattern::Parse(text); }

std::string Sends(absl::string_view pattern, absl::string_view location, absl::string_view path,
                  absl::string_view query = "", bool keep_query = false) {
  absl::StatusOr<Redirect> redirect = Redirect::Parse(302, location, keep_query, Pattern(pattern));
  if (!redirect.ok()) return std::string(redirect.status().message());
  return redirect->Location("shop.example", path, !query.empty(), query);
}

TEST(RedirectTest, PutsWhatThePathMatchedInItsPlace) {
  EXPECT_EQ(Sends("/old", "/new", "/old"), "/new");
  EXPECT_EQ(Sends("/u/{id}/x/{part}", "/p/{part}/of/{id}", "/u/7/x/a"), "/p/a/of/7");
  EXPECT_EQ(Sends("/old/{rest...}", "https://{host}/new/{rest}", "/old/a/b/"), "https://shop.example/new/a/b/");
  EXPECT_EQ(Sends("/old/{rest...}", "/new/{rest}", "/old/"), "/new/");
  EXPECT_EQ(Sends("/{a}/{rest...}", "http://other.example:8080/{a}?p={rest}", "/x/y/z"), "http://other.example:8080/x?p=y/z");
}

TEST(RedirectTest, AddsTheQueryWhenAsked) {
  EXPECT_EQ(Sends("/old", "/new", "/old", "a=1"), "/new");
  EXPECT_EQ(Sends("/old", "/new", "/old", "a=1", true), "/new?a=1");
  EXPECT_EQ(Sends("/old", "/new?b=2", "/old", "a=1", true), "/new?b=2&a=1");
  EXPECT_EQ(Sends("/old", "/new?b=2", "/old", "", true), "/new?b=2");
}

TEST(RedirectTest, LeavesNothingOfTheRequestAMeaningOfItsOwn) {
  EXPECT_EQ(Sends("/x/{v}", "/y?next={v}", "/x/a&b=c;d@e:f"), "/y?next=a%26b%3Dc%3Bd%40e%3Af");
  EXPECT_EQ(Sends("/x/{v}", "/y/{v}", "/x/a%0D%0ASet-Cookie"), "/y/a%0D%0ASet-Cookie");
  EXPECT_EQ(Sends("/x/{v}", "/y/{v}", "/x/100%"), "/y/100%25");
  // Neither a second slash nor, to browsers, a backslash makes another host of it.
  EXPECT_EQ(Sends("/{v}", "/{v}", "/\\evil.example"), "/%5Cevil.example");
  EXPECT_EQ(Sends("/{v}/{rest...}", "/{rest}/{v}", "/evil.example/"), "/%2Fevil.example");
  EXPECT_EQ(Sends("/{rest...}", "/{rest}", "//evil.example"), "/%2Fevil.example");
  EXPECT_EQ(Sends("/x/{v}", "/{v}", "/x/evil.example"), "/evil.example");
}

TEST(RedirectTest, RefusesLocationsThatCouldLeadAnywhere) {
  const auto refused = [](absl::string_view location, bool keep_query = false) {
    return Sends("/x/{v}", location, "/x/1", "", keep_query);
  };
  EXPECT_THAT(refused(""), HasSubstr("is required"));
  EXPECT_THAT(refused("new"), HasSubstr("neither an absolute path nor"));
  EXPECT_THAT(refused("//evil.example"), HasSubstr("neither an absolute path nor"));
  EXPECT_THAT(refused("/\\evil.example"), HasSubstr("neither an absolute path nor"));
  EXPECT_THAT(refused("javascript:alert(1)"), HasSubstr("neither an absolute path nor"));
  EXPECT_THAT(refused("https://"), HasSubstr("neither an absolute path nor"));
  EXPECT_THAT(refused("https://{v}/a"), HasSubstr("choose the host"));
  EXPECT_THAT(refused("https://a.{v}"), HasSubstr("choose the host"));
  EXPECT_THAT(refused("https://u@{host}/"), HasSubstr("userinfo"));
  EXPECT_THAT(refused("/a\r\nb"), HasSubstr("percent-encoded"));
  EXPECT_THAT(refused("/a b"), HasSubstr("percent-encoded"));
  EXPECT_THAT(refused("/\xC3\xA9"), HasSubstr("percent-encoded"));
  EXPECT_THAT(refused("/a%2"), HasSubstr("two hexadecimal digits"));
  EXPECT_THAT(refused("/{w}"), HasSubstr("names {w}, which the route's path does not have"));
  EXPECT_THAT(refused("/{}"), HasSubstr("names {}"));
  EXPECT_THAT(refused("/{v"), HasSubstr("{ without a }"));
  EXPECT_THAT(refused("/v}"), HasSubstr("} without a {"));
  EXPECT_THAT(refused("/a#b", true), HasSubstr("fragment"));
  EXPECT_THAT(refused(std::string(8193, '/').replace(1, 1, "a")), HasSubstr("over 8192 bytes"));
  EXPECT_THAT(Sends("/x/{rest...}", "/{rest...}", "/x/1"), HasSubstr("write {rest}"));
}

}  // namespace
}  // namespace gatehouse::config
