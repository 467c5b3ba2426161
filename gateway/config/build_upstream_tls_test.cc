// Protocol and TLS of upstreams: what is read, what is refused and where, and what is shared with the snapshot before.
#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPin[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

class UpstreamTlsTest : public BuildTest {
 protected:
  static std::string With(absl::string_view fields) {
    return absl::StrCat(Base(), "upstreams { name: \"secure\" endpoints: \"127.0.0.1:8443\" ", fields, " }\n");
  }
  static const Upstream& Secure(const Snapshot& snapshot) { return *snapshot.FindUpstream("secure"); }
  static void Refuses(absl::string_view fields, absl::string_view line) {
    EXPECT_THAT(Lines(BuildText(With(fields)).violations), ElementsAre(HasSubstr(std::string(line)))) << fields;
  }
};

TEST_F(UpstreamTlsTest, ByDefaultEndpointsAreSpokenToInClearOverHttp1) {
  const auto snapshot = BuildGood(With(""));
  EXPECT_FALSE(Secure(*snapshot).http2);
  EXPECT_EQ(Secure(*snapshot).tls, nullptr);
}

TEST_F(UpstreamTlsTest, EveryFieldIsRead) {
  const auto snapshot = BuildGood(With(absl::StrCat(
      "protocol: HTTP_2 tls { trust_store: \"partners\" server_name: \"App.Test\" verify_names: \"a.test\" "
      "verify_names: \"2001:db8::1\" client_certificate: \"localhost\" spki_sha256: \"", kPin, "\" }")));
  const Upstream& upstream = Secure(*snapshot);
  EXPECT_TRUE(upstream.http2);
  ASSERT_NE(upstream.tls, nullptr);
  EXPECT_EQ(upstream.tls->authorities->anchors()[0]->subject(), "CN=Test CA");
  EXPECT_EQ(upstream.tls->server_name, "app.test");
  EXPECT_THAT(upstream.tls->verify_names, ElementsAre("a.test", "2001:db8::1"));
  ASSERT_EQ(upstream.tls->spki_pins.size(), 1u);
  EXPECT_EQ(HexLower(AsView(upstream.tls->spki_pins[0])), kPin);
  EXPECT_EQ(upstream.tls->identity->name(), "localhost");
}

TEST_F(UpstreamTlsTest, WhatCouldProveNothingIsRefused) {
  Refuses("tls {}", "upstreams[\"secure\"].tls: needs one of trust_store, system_roots and spki_sha256");
  Refuses("tls { server_name: \"a.test\" }", "upstreams[\"secure\"].tls: needs one of");
  Refuses("tls { trust_store: \"partner\" }", "tls.trust_store: no trust store named \"partner\"; did you mean \"partners\"");
  EXPECT_THAT(Lines(BuildText(absl::StrCat(With("tls { trust_store: \"pins\" }"),
                                           "trust_stores { name: \"pins\" pins { spki_sha256: \"", kPin, "\" } }"))
                        .violations),
              ElementsAre(HasSubstr("tls.trust_store: \"pins\" has no anchors")));
}

TEST_F(UpstreamTlsTest, PinsAloneAreEnough) {
  const auto snapshot = BuildGood(With(absl::StrCat("tls { spki_sha256: \"", kPin, "\" }")));
  EXPECT_EQ(Secure(*snapshot).tls->authorities, nullptr);
}

TEST_F(UpstreamTlsTest, WrongFieldsAreNamed) {
  for (const char* name : {"a..test", "*.test", "1.2.3.4", "-a.test", "a b", ".test", "test."}) {
    Refuses(absl::StrCat("tls { trust_store: \"partners\" server_name: \"", name, "\" }"), "tls.server_name: ");
  }
  for (const char* name : {"", "*.app.test", "a/b", "300.1.1.1:80"}) {
    Refuses(absl::StrCat("tls { trust_store: \"partners\" verify_names: \"ok.test\" verify_names: \"", name, "\" }"),
            "tls.verify_names[1]: ");
  }
  Refuses("tls { trust_store: \"partners\" spki_sha256: \"abc\" }", "tls.spki_sha256[0]: ");
  Refuses("tls { trust_store: \"partners\" client_certificate: \"nobody\" }",
          "tls.client_certificate: no server certificate named \"nobody\"");
  Refuses("protocol: 7", "upstreams[\"secure\"].protocol: 7 is no protocol");
}

TEST_F(UpstreamTlsTest, TheSystemsAuthoritiesJoinThoseOfTheTrustStore) {
  const auto alone = BuildGood(With("tls { system_roots: true }"));
  const size_t roots = Secure(*alone).tls->authorities->anchors().size();
  EXPECT_GT(roots, 10u);
  const auto joined = BuildGood(With("tls { system_roots: true trust_store: \"partners\" }"));
  EXPECT_EQ(Secure(*joined).tls->authorities->anchors().size(), roots + 1);
}

TEST_F(UpstreamTlsTest, ARouteMayBoundItsRequestsTimeAndOnlyWhereThereIsAnUpstream) {
  const auto snapshot = BuildGood(Base() + RouteText("a", "match { path: \"/a\" } anonymous: true upstream: \"orders\" timeout { seconds: 3 }") +
                                  RouteText("b", "match { path: \"/b\" } anonymous: true upstream: \"orders\""));
  EXPECT_EQ(snapshot->FindRoute("a")->timeout, absl::Seconds(3));
  EXPECT_EQ(snapshot->FindRoute("b")->timeout, absl::InfiniteDuration());
  EXPECT_THAT(Lines(BuildText(Base() + RouteText("a", "match { path: \"/a\" } anonymous: true fixed_response {} timeout { seconds: 3 }")).violations),
              ElementsAre("routes[\"a\"].timeout: is only for routes with an upstream"));
  EXPECT_THAT(Lines(BuildText(Base() + RouteText("a", "match { path: \"/a\" } anonymous: true upstream: \"orders\" timeout { seconds: -1 }")).violations),
              ElementsAre(HasSubstr("routes[\"a\"].timeout: ")));
}

TEST_F(UpstreamTlsTest, AnUpstreamOfEitherProtocolMaySpeakWebSocket) {
  const std::string route = RouteText("a", "match { path: \"/a\" } anonymous: true upstream: \"secure\" websocket: true");
  const auto first = BuildGood(With("") + route);
  EXPECT_TRUE(BuildGood(With("protocol: HTTP_2") + route, first.get())->FindRoute("a")->websocket);
}

TEST_F(UpstreamTlsTest, WhatDidNotChangeIsSharedAndWhatDidIsNot) {
  const std::string text = With("tls { system_roots: true trust_store: \"partners\" client_certificate: \"localhost\" }");
  const auto first = BuildGood(text);
  EXPECT_EQ(Secure(*first).tls, Secure(*BuildGood(text, first.get())).tls);
  for (const auto& [from, to] : {std::pair("@ca@", "@old-ca@"), std::pair("system_roots: true", ""),
                                 std::pair("client_certificate: \"localhost\"", "")}) {
    const auto second = BuildGood(absl::StrReplaceAll(text, {{from, to}}), first.get());
    EXPECT_NE(Secure(*first).tls, Secure(*second).tls) << from;
  }
}

}  // namespace
}  // namespace gatehouse::config
