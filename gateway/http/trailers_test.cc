#include "gateway/http/trailers.h"

#include <gtest/gtest.h>

#include <string>

namespace gatehouse::http {
namespace {

TEST(TrailersTest, LetWhatIsKnownOnlyAtTheEndPass) {
  for (absl::string_view name : {"grpc-status", "grpc-message", "x-checksum", "digest", "content-digest", "server-timing", "etag", "a"}) {
    EXPECT_TRUE(MayTrail(name)) << name;
  }
}

TEST(TrailersTest, NeverFrameRouteAuthenticateOrModify) {
  for (absl::string_view name :
       {"content-length", "transfer-encoding", "trailer", "te", "connection", "keep-alive", "upgrade", "proxy-connection", "host",
        "forwarded", "x-forwarded-for", "x-forwarded-client-cert", "authorization", "proxy-authorization", "proxy-authenticate",
        "www-authenticate", "cookie", "set-cookie", "expect", "range", "if-match", "if-none-match", "cache-control", "content-type",
        "content-encoding", "content-range", "sec-websocket-key", "sec-fetch-site", "origin", "traceparent", "x-request-id",
        "x-http-method-override", "x-rewrite-url", "max-forwards", "grpc-timeout"}) {
    EXPECT_FALSE(MayTrail(name)) << name;
    EXPECT_FALSE(IsTrailer({name, "1"})) << name;
  }
}

TEST(TrailersTest, AreFieldsAndNothingElse) {
  EXPECT_TRUE(IsTrailer({"x-sum", "7"}));
  EXPECT_TRUE(IsTrailer({"x-sum", ""}));
  for (absl::string_view name : {"", ":path", "x sum", "x-sum\r\nhost", "x:y", "\xc3\xa4"}) EXPECT_FALSE(IsTrailer({name, "7"})) << name;
  for (const std::string& value : {std::string("7\r\nhost: a"), std::string("7\n"), std::string("7\0", 2), std::string(" 7"), std::string("\x7f")}) {
    EXPECT_FALSE(IsTrailer({"x-sum", value})) << value;
  }
}

TEST(TrailersTest, AreNotAnnouncedByTheThousand) {
  FieldList fields;
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "a,";
  fields.Add("trailer", many);
  int asked = 0;
  AnnouncedTrailers(fields, [&asked](absl::string_view) { return ++asked > 0; });
  EXPECT_EQ(asked, 100);
}

TEST(TrailersTest, AreAnnouncedAsFarAsTheyMayCome) {
  FieldList fields;
  const auto all = [](absl::string_view) { return true; };
  EXPECT_EQ(AnnouncedTrailers(fields, all), "");
  fields.Add("trailer", "X-Sum,  content-length ,, X-User, b\"ad");
  fields.Add("x-other", "never");
  fields.Add("Trailer", "x-last");
  EXPECT_EQ(AnnouncedTrailers(fields, all), "x-sum, x-user, x-last");
  EXPECT_EQ(AnnouncedTrailers(fields, [](absl::string_view name) { return name != "x-user"; }), "x-sum, x-last");
}

}  // namespace
}  // namespace gatehouse::http
