// What a route does besides asking for proof: what is compiled, and what is refused.
#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;

class RouteExtrasTest : public BuildTest {
 protected:
  static std::string With(absl::string_view rest) { return Base() + RouteText("r", rest); }
  // A route to an upstream, for /r/…, with more.
  static std::string Proxied(absl::string_view more) {
    return With(absl::StrCat("match { path: \"/r/{rest...}\" } anonymous: true upstream: \"orders\" ", more));
  }
  static std::string Fixed(absl::string_view more) {
    return With(absl::StrCat("match { path: \"/r\" } anonymous: true fixed_response {} ", more));
  }
  static std::string Listening(absl::string_view more) {
    return Base() + absl::StrCat("listeners { name: \"b\" address: \"127.0.0.1:1\" server_certificates: \"localhost\" ", more, " }");
  }
  static Route RouteOf(const std::string& text) { return *BuildGood(text)->FindRoute("r"); }
  static void ExpectOne(const std::string& text, const std::string& path, const std::string& message) {
    const BuildResult result = BuildText(text);
    EXPECT_EQ(result.snapshot, nullptr);
    ASSERT_THAT(Lines(result.violations), SizeIs(1)) << text;
    EXPECT_EQ(result.violations[0].path, path);
    EXPECT_THAT(result.violations[0].message, HasSubstr(message));
  }
};

TEST_F(RouteExtrasTest, AreNothingWhereNothingIsSaid) {
  const Route route = RouteOf(Proxied(""));
  EXPECT_EQ(route.redirect, nullptr);
  EXPECT_EQ(route.rewrite, nullptr);
  EXPECT_EQ(route.response_headers, nullptr);
  EXPECT_EQ(route.access_log, nullptr);
  EXPECT_EQ(route.max_body_bytes, UINT64_MAX);
  EXPECT_EQ(route.events.sample_one_in, 1u);
  EXPECT_FALSE(route.events.refuse_on_loss);
}

TEST_F(RouteExtrasTest, CompilesRedirects) {
  const Route route = RouteOf(With(R"(match { path: "/old/{rest...}" } anonymous: true
                                      redirect { status: 308 location: "https://{host}/new/{rest}" keep_query: true })"));
  EXPECT_EQ(route.action, Action::kRedirect);
  EXPECT_EQ(route.redirect->status(), 308);
  EXPECT_EQ(route.redirect->Location("h", "/old/x", true, "a=b"), "https://h/new/x?a=b");
  EXPECT_EQ(RouteOf(With(R"(match { path: "/old" } anonymous: true redirect { location: "/new" })")).redirect->status(), 302);
}

TEST_F(RouteExtrasTest, RefusesRedirectsThatAreNone) {
  const auto with = [](absl::string_view redirect) {
    return With(absl::StrCat("match { path: \"/old/{v}\" } anonymous: true redirect { ", redirect, " }"));
  };
  ExpectOne(with(R"(status: 304 location: "/new")"), R"(routes["r"].redirect.status)", "is none of 301");
  ExpectOne(with(""), R"(routes["r"].redirect.location)", "is required");
  ExpectOne(with(R"(location: "//evil.example")"), R"(routes["r"].redirect.location)", "neither an absolute path nor");
  ExpectOne(with(R"(location: "https://{v}/")"), R"(routes["r"].redirect.location)", "choose the host");
  ExpectOne(with(R"(location: "/a\r\nb")"), R"(routes["r"].redirect.location)", "percent-encoded");
  ExpectOne(with(R"(location: "/new" } rewrite { prefix: "/x")"), R"(routes["r"].rewrite)", "only for routes with an upstream");
  ExpectOne(with(R"(location: "/new" } response_headers { set { key: "Location" value: "/x" })"),
            R"(routes["r"].response_headers.set["Location"])", "is what `redirect` says");
  ExpectOne(With(R"(match { path: "old" } anonymous: true redirect { location: "/new" })"), R"(routes["r"].match.path)", "begin with /");
}

TEST_F(RouteExtrasTest, CompilesRewriting) {
  const Route route = RouteOf(Proxied(R"(rewrite { prefix: "/v1/" host: "inner.example:8080" })"));
  EXPECT_EQ(route.rewrite->Path("/r/x"), "/v1/x");
  EXPECT_EQ(route.rewrite->host(), "inner.example:8080");
  EXPECT_EQ(RouteOf(Proxied(R"(rewrite { host: "inner" })")).rewrite->Path("/r/x"), "/r/x");
}

TEST_F(RouteExtrasTest, RefusesRewritingThatIsNone) {
  ExpectOne(Proxied("rewrite {}"), R"(routes["r"].rewrite)", "changes nothing");
  ExpectOne(Proxied(R"(rewrite { prefix: "/v1" })"), R"(routes["r"].rewrite.prefix)", "must end in /");
  ExpectOne(Proxied(R"(rewrite { host: "*.example" })"), R"(routes["r"].rewrite.host)", "is a pattern");
  ExpectOne(Proxied(R"(rewrite { host: "a\r\nb" })"), R"(routes["r"].rewrite.host)", "");
  ExpectOne(Fixed(R"(rewrite { prefix: "/x" })"), R"(routes["r"].rewrite)", "only for routes with an upstream");
}

TEST_F(RouteExtrasTest, CompilesFieldsOfTheAnswer) {
  const Route route = RouteOf(Fixed(R"(response_headers { set { key: "X-B" value: "2" } set { key: "X-A" value: "" } remove: "Server" })"));
  EXPECT_THAT(route.response_headers->set, ElementsAre(Pair("x-a", ""), Pair("x-b", "2")));
  EXPECT_THAT(route.response_headers->remove, ElementsAre("server"));
}

TEST_F(RouteExtrasTest, RefusesFieldsThatFrameOrCannotBeCarried) {
  const std::string base = R"(routes["r"].response_headers)";
  ExpectOne(Fixed("response_headers {}"), base, "changes nothing");
  for (const char* name : {"Content-Length", "Transfer-Encoding", "CONNECTION", "Upgrade", "Date"}) {
    ExpectOne(Fixed(absl::StrCat("response_headers { set { key: \"", name, "\" value: \"1\" } }")),
              absl::StrCat(base, ".set[\"", name, "\"]"), "framing");
    ExpectOne(Fixed(absl::StrCat("response_headers { remove: \"", name, "\" }")), base + ".remove[0]", "framing");
  }
  ExpectOne(Fixed(R"(response_headers { set { key: ":status" value: "1" } })"), base + R"(.set[":status"])", "no header name");
  ExpectOne(Fixed(R"(response_headers { set { key: "" value: "1" } })"), base + R"(.set[""])", "no header name");
  ExpectOne(Fixed(R"(response_headers { set { key: "X-A" value: "a\r\nSet-Cookie: b" } })"), base + R"(.set["X-A"])", "visible ASCII");
  ExpectOne(Fixed(R"(response_headers { set { key: "X-A" value: " a" } })"), base + R"(.set["X-A"])", "visible ASCII");
  ExpectOne(Fixed(R"(response_headers { remove: "a" remove: "A" })"), base + ".remove[1]", "twice");
  std::string many;
  for (int i = 0; i <= 100; ++i) absl::StrAppend(&many, "remove: \"x-", i, "\" ");
  ExpectOne(Fixed(absl::StrCat("response_headers { ", many, " }")), base + ".remove", "over 100");
}

TEST_F(RouteExtrasTest, RefusesFieldNamesThatDifferInCaseOnly) {
  const BuildResult result = BuildText(Fixed(R"(response_headers { set { key: "X-A" value: "1" } set { key: "x-a" value: "2" } })"));
  ASSERT_THAT(Lines(result.violations), SizeIs(1));
  EXPECT_THAT(result.violations[0].message, HasSubstr("twice"));
}

TEST_F(RouteExtrasTest, CompilesLimitsAndEvents) {
  const Route route = RouteOf(Fixed("max_body_bytes: 7 events { sample_one_in: 10 }"));
  EXPECT_EQ(route.max_body_bytes, 7u);
  EXPECT_EQ(route.events.sample_one_in, 10u);
  EXPECT_TRUE(RouteOf(Fixed("events { on_loss: REFUSE }")).events.refuse_on_loss);
  ExpectOne(Fixed("events { on_loss: REFUSE sample_one_in: 2 }"), R"(routes["r"].events.on_loss)", "REFUSE wants every request told");
  ExpectOne(Fixed("events { sample_one_in: 1000001 }"), R"(routes["r"].events.sample_one_in)", "out of range");
  ExpectOne(Fixed("events { on_loss: 9 }"), R"(routes["r"].events.on_loss)", "unknown value 9");
}

TEST_F(RouteExtrasTest, CompilesAccessLogs) {
  const AccessLogRef log = RouteOf(Fixed(R"(access_log { format: COMBINED file: "/var/log/gatehouse/a.log" sample_one_in: 5 })")).access_log;
  EXPECT_EQ(log->format, AccessLog::Format::kCombined);
  EXPECT_EQ(log->file, "/var/log/gatehouse/a.log");
  EXPECT_EQ(log->sample_one_in, 5u);
  EXPECT_TRUE(RouteOf(Fixed("access_log { off: true }")).access_log->off);
  const auto snapshot = BuildGood(Listening("access_log {}"));
  EXPECT_EQ(snapshot->FindListener("edge")->access_log, nullptr);
  EXPECT_EQ(snapshot->FindListener("b")->access_log->format, AccessLog::Format::kJson);
  EXPECT_EQ(snapshot->FindListener("b")->access_log->file, "");
}

TEST_F(RouteExtrasTest, RefusesAccessLogsThatCouldOverwriteSomethingElse) {
  const std::string here = R"(routes["r"].access_log)";
  for (const char* file : {"a.log", "/var/../etc/a.log", "/a\\nb.log"}) {
    ExpectOne(Fixed(absl::StrCat("access_log { file: \"", file, "\" }")), here + ".file", "no absolute path");
  }
  for (const char* file : {"/root/.ssh/authorized_keys", "/etc/cron.d/x", "/var/log/.log", "/var/log/"}) {
    ExpectOne(Fixed(absl::StrCat("access_log { file: \"", file, "\" }")), here + ".file", "must end in .log");
  }
  ExpectOne(Fixed("access_log { format: 9 }"), here + ".format", "unknown value 9");
  ExpectOne(Fixed("access_log { off: true sample_one_in: 3 }"), here + ".off", "with how to log");
  ExpectOne(Listening("access_log { off: true }"), R"(listeners["b"].access_log.off)", "is for routes");
}

TEST_F(RouteExtrasTest, CompilesTrustedProxies) {
  const auto snapshot = BuildGood(Listening(R"(trusted_proxies: "10.0.0.0/8" trusted_proxies: "2001:db8::1")"));
  ASSERT_THAT(snapshot->FindListener("b")->trusted_proxies, SizeIs(2));
  EXPECT_EQ(snapshot->FindListener("b")->trusted_proxies[0].prefix, 8);
  ExpectOne(Listening(R"(trusted_proxies: "10.0.0.0/8" trusted_proxies: "proxy.example")"), R"(listeners["b"].trusted_proxies[1])", "not an IP address");
  ExpectOne(Listening(R"(trusted_proxies: "10.0.0.1/8")"), R"(listeners["b"].trusted_proxies[0])", "below its prefix");
}

TEST_F(RouteExtrasTest, CompilesWhatUpstreamsAreToldOfTheWay) {
  const auto told = [](absl::string_view value) {
    return BuildGood(Base() + absl::StrCat("upstreams { name: \"u\" endpoints: \"127.0.0.1:1\" ", value, " }"))->FindUpstream("u")->forwarded;
  };
  EXPECT_EQ(told(""), Forwarded::kXForwarded);
  EXPECT_EQ(told("forwarded: X_FORWARDED"), Forwarded::kXForwarded);
  EXPECT_EQ(told("forwarded: FORWARDED"), Forwarded::kForwarded);
  EXPECT_EQ(told("forwarded: X_FORWARDED_AND_FORWARDED"), Forwarded::kBoth);
  EXPECT_EQ(told("forwarded: NO_FORWARDED"), Forwarded::kNone);
  ExpectOne(Base() + R"(upstreams { name: "u" endpoints: "127.0.0.1:1" forwarded: 9 })", R"(upstreams["u"].forwarded)", "unknown value 9");
}

TEST_F(RouteExtrasTest, CompilesHowClaimsAreWritten) {
  const auto with = [](absl::string_view headers) {
    return With(absl::StrCat("match { path: \"/r\" } require { any_of: \"Basic\" } upstream: \"orders\" identity_headers { ", headers, " }"));
  };
  BuildGood(with(R"(xfcc: true xfcc_cert: true xfcc_chain: true claims { key: "X-A" value: "name" } claim_encoding: BASE64)"));
  const std::string here = R"(routes["r"].identity_headers)";
  ExpectOne(with("xfcc_cert: true"), here + ".xfcc_cert", "only with `xfcc`");
  ExpectOne(with("xfcc_chain: true"), here + ".xfcc_chain", "only with `xfcc`");
  ExpectOne(with("xfcc: true claim_encoding: PERCENT"), here + ".claim_encoding", "there are none");
  ExpectOne(with(R"(claims { key: "X-A" value: "name" } claim_encoding: 9)"), here + ".claim_encoding", "unknown value 9");
  ExpectOne(with(R"(claims { key: "traceparent" value: "name" })"), here + R"(.claims["traceparent"])", "cannot be injected");
}

}  // namespace
}  // namespace gatehouse::config
