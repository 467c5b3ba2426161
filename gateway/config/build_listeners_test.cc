// What listeners ask of clients, by server name.
#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ListenerTest : public BuildTest {
 protected:
  static std::string Edge(absl::string_view more) {
    return absl::StrCat(R"(
      server_certificates { name: "shops" certificate_chain_pem: "@shops@" private_key_pem: "@key@" }
      listeners { name: "shop" address: "127.0.0.1:1" server_certificates: "localhost" server_certificates: "shops" )",
                        more, " }");
  }
  static std::string Secure(absl::string_view host) {
    return RouteText("secure", absl::StrCat("match { path: \"/s\" ", host.empty() ? "" : absl::StrCat("hosts: \"", host, "\""),
                                        " } require { any_of: \"Certificate\" } fixed_response {}"));
  }
};

TEST_F(ListenerTest, AsksForCertificatesWhenARouteUsesThem) {
  EXPECT_EQ(BuildGood(Base() + Good("a", "require { any_of: \"Basic\" }"))->listeners[0].names[0].client_certificate,
            ClientCertificate::kNone);
  EXPECT_EQ(BuildGood(Base() + Good("a", "require { any_scheme: true }"))->listeners[0].names[0].client_certificate,
            ClientCertificate::kAllow);
  EXPECT_EQ(BuildGood(Base() + Good("a", "anonymous: true"))->listeners[0].names[0].client_certificate,
            ClientCertificate::kNone);
}

TEST_F(ListenerTest, ChoosesTheConfigurationByServerName) {
  const std::shared_ptr<const Snapshot> snapshot =
      BuildGood(Base() + Edge(R"(server_names { name: "shop.example" client_certificate: REQUIRE })") + Secure(""));
  const Listener& shop = *snapshot->FindListener("shop");
  EXPECT_EQ(shop.NameFor("SHOP.example").client_certificate, ClientCertificate::kRequire);
  EXPECT_EQ(shop.NameFor("a.shop.example").client_certificate, ClientCertificate::kAllow);
  EXPECT_THAT(shop.NameFor("a.shop.example").names, ElementsAre("*.shop.example"));
  EXPECT_THAT(shop.NameFor("a.b.shop.example").names, IsEmpty());
  EXPECT_THAT(shop.NameFor("").names, IsEmpty());
  EXPECT_EQ(shop.NameFor("").credentials[0]->name(), "localhost");
  EXPECT_EQ(shop.NameFor("shop.example").credentials[0]->name(), "shops");
  EXPECT_EQ(shop.NameFor("localhost").credentials[0]->name(), "localhost");
}

TEST_F(ListenerTest, ANameThatReachesNoCertificateRouteDoesNotAsk) {
  const std::shared_ptr<const Snapshot> snapshot = BuildGood(Base() + Edge("") + Secure("shop.example"));
  const Listener& shop = *snapshot->FindListener("shop");
  EXPECT_EQ(shop.NameFor("shop.example").client_certificate, ClientCertificate::kAllow);
  EXPECT_EQ(shop.NameFor("localhost").client_certificate, ClientCertificate::kNone);
  EXPECT_EQ(shop.NameFor("a.shop.example").client_certificate, ClientCertificate::kNone);
  EXPECT_EQ(shop.NameFor("unknown").client_certificate, ClientCertificate::kNone);
  EXPECT_THAT(shop.NameFor("shop.example").certificate_schemes, ElementsAre(snapshot->FindScheme("Certificate")->index));
  // A listener without such a name reaches the route through its default.
  EXPECT_EQ(snapshot->FindListener("edge")->NameFor("shop.example").client_certificate, ClientCertificate::kAllow);
}

TEST_F(ListenerTest, AWildcardRouteReachesTheNamesUnderIt) {
  const std::shared_ptr<const Snapshot> snapshot = BuildGood(Base() + Edge("") + Secure("*.example"));
  const Listener& shop = *snapshot->FindListener("shop");
  EXPECT_EQ(shop.NameFor("shop.example").client_certificate, ClientCertificate::kAllow);
  EXPECT_EQ(shop.NameFor("a.shop.example").client_certificate, ClientCertificate::kAllow);
  EXPECT_EQ(shop.NameFor("localhost").client_certificate, ClientCertificate::kNone);
  EXPECT_EQ(shop.NameFor("other.example").client_certificate, ClientCertificate::kAllow);
}

TEST_F(ListenerTest, MisdirectedMeansAnotherClientCertificateConfiguration) {
  const std::shared_ptr<const Snapshot> snapshot =
      BuildGood(Base() + Edge(R"(server_names { name: "shop.example" client_certificate: REQUIRE })") + Secure(""));
  const Listener& shop = *snapshot->FindListener("shop");
  EXPECT_TRUE(snapshot->Misdirected(shop, "localhost", "shop.example"));
  EXPECT_TRUE(snapshot->Misdirected(shop, "", "shop.example"));
  EXPECT_TRUE(snapshot->Misdirected(shop, "shop.example", "localhost"));
  EXPECT_FALSE(snapshot->Misdirected(shop, "localhost", "a.shop.example"));
  EXPECT_FALSE(snapshot->Misdirected(shop, "localhost", "unknown"));
  EXPECT_FALSE(snapshot->Misdirected(shop, "", ""));
}

TEST_F(ListenerTest, HintsAreTheAnchorsUnlessSomethingElseIsAccepted) {
  const std::string route = Good("a", "require { any_of: \"Certificate\" any_of: \"More\" }");
  const auto hints = [&](absl::string_view scheme) {
    return BuildGood(absl::StrCat(Base(), scheme, route))->listeners[0].names[0].ca_hints;
  };
  EXPECT_THAT(hints(R"(schemes { name: "More" client_certificate { trust_store: "partners" } })"), SizeIs(1));
  EXPECT_THAT(hints(R"(trust_stores { name: "t" anchors { pem: "@other-ca@" } }
                       schemes { name: "More" client_certificate { trust_store: "t" } })"), SizeIs(2));
  EXPECT_THAT(hints(R"(trust_stores { name: "t" anchors { pem: "@ca@" } pins { pem: "@pin@" } }
                       schemes { name: "More" client_certificate { trust_store: "t" } })"), IsEmpty());
  EXPECT_THAT(hints(R"(schemes { name: "More" client_certificate { trust_store: "partners" self_signed_trust: ANY
                                  accept_any_self_signed: "development" } })"), IsEmpty());
}

TEST_F(ListenerTest, ASessionIsBoundToWhatIsAskedAndTheTrustHasAnEpochOfItsOwn) {
  const std::string route = Good("a", "require { any_of: \"Certificate\" }");
  const auto trust = [](const std::shared_ptr<const Snapshot>& s) { return s->listeners[0].names[0].trust_epoch; };
  const auto context = [](const std::shared_ptr<const Snapshot>& s) { return s->listeners[0].names[0].session_context; };
  const auto first = BuildGood(Base() + route);
  EXPECT_EQ(context(BuildGood(Base() + route)), context(first));
  EXPECT_EQ(context(BuildGood(Base() + route + Good("b", "anonymous: true"))), context(first));
  EXPECT_EQ(trust(BuildGood(Base() + route + Good("b", "anonymous: true"))), trust(first));
  // Whose certificate is still accepted may go on resuming: the server judges each resumption.
  const auto other = BuildGood(absl::StrReplaceAll(Base(), {{"@ca@", "@other-ca@"}}) + route);
  EXPECT_EQ(context(other), context(first));
  EXPECT_NE(trust(other), trust(first));
  for (absl::string_view change : {"client_certificate: REQUIRE", "verify_with: \"Certificate\""}) {
    const auto asked = BuildGood(
        absl::StrReplaceAll(Base(), {{"name: \"edge\"", absl::StrCat("name: \"edge\" ", change)}}) + route);
    EXPECT_NE(context(asked), context(first)) << change;
    EXPECT_NE(trust(asked), trust(first)) << change;
  }
  EXPECT_NE(first->listeners[0].names[0].session_context, first->listeners[0].names[1].session_context);
}

TEST_F(ListenerTest, ResolvesDefaults) {
  const std::shared_ptr<const Snapshot> snapshot = BuildGood(
      Base() + R"(listeners { name: "strict" address: "[::1]:0" server_certificates: "localhost" min_tls_version: TLS_1_3
                              verify_with: "Certificate" client_certificate: REQUIRE
                              limits { idle_timeout { seconds: 60 } max_header_bytes: 4096 max_body_bytes: 10 } })" +
      Good("a", "require { any_of: \"Certificate\" }"));
  const Listener& edge = *snapshot->FindListener("edge");
  EXPECT_EQ(edge.limits, Limits());
  EXPECT_EQ(edge.limits.handshake_timeout, absl::Seconds(10));
  EXPECT_EQ(edge.limits.max_body_bytes, UINT64_MAX);
  EXPECT_EQ(edge.verify_with, kNoScheme);
  EXPECT_FALSE(edge.min_tls_1_3);
  const Listener& strict = *snapshot->FindListener("strict");
  EXPECT_TRUE(strict.min_tls_1_3);
  EXPECT_EQ(strict.verify_with, snapshot->FindScheme("Certificate")->index);
  EXPECT_EQ(strict.limits.idle_timeout, absl::Minutes(1));
  EXPECT_EQ(strict.limits.max_header_bytes, 4096u);
  EXPECT_EQ(strict.limits.max_body_bytes, 10u);
  EXPECT_EQ(strict.limits.header_timeout, absl::Seconds(15));
  EXPECT_EQ(snapshot->upstreams[0], (Upstream{.name = "orders", .endpoints = {"127.0.0.1:8080"}}));
}


TEST_F(ListenerTest, AListenerThatOnlyRedirectsHasNoTlsAndNoRoutes) {
  const std::string plain = R"(listeners { name: "plain" address: "127.0.0.1:2" redirect_only { status: 301 port: 8443 }
                                           proxy_protocol_from: "10.0.0.0/8" limits { max_connections_per_address: 7 } })";
  const std::shared_ptr<const Snapshot> snapshot = BuildGood(Base() + plain + Good("all", "anonymous: true"));
  const Listener& listener = *snapshot->FindListener("plain");
  ASSERT_TRUE(listener.redirect_only.has_value());
  EXPECT_EQ(listener.redirect_only->status, 301);
  EXPECT_EQ(listener.redirect_only->port, 8443);
  EXPECT_EQ(listener.limits.max_connections_per_address, 7u);
  EXPECT_THAT(listener.proxy_protocol_from, SizeIs(1));
  EXPECT_EQ(listener.NameFor("x").client_certificate, ClientCertificate::kNone);
  EXPECT_THAT(snapshot->FindRoute("all")->listeners, ElementsAre(snapshot->FindListener("edge")->index));
  EXPECT_EQ(BuildGood(Base() + R"(listeners { name: "plain" address: "127.0.0.1:2" redirect_only {} })")
                ->FindListener("plain")->redirect_only->status, 308);

  EXPECT_THAT(Lines(BuildText(Base() + plain + RouteText("named", R"(match { path: "/" } listeners: "plain" anonymous: true
                                                                     fixed_response {})")).violations),
              ElementsAre("routes[\"named\"].listeners[0]: \"plain\" only redirects: no route is reachable through it"));
  EXPECT_THAT(Lines(BuildText(Base() + R"(
    listeners { name: "odd" address: "127.0.0.1:2" redirect_only { status: 303 port: 65536 } server_certificates: "localhost"
                client_certificate: ALLOW server_names { name: "a.example" } min_tls_version: TLS_1_3 verify_with: "Certificate"
                session_tickets: true trusted_proxies: "10.0.0.0/8" access_log {} proxy_protocol_from: "10.0.0.1/8" })").violations),
              ElementsAre(::testing::HasSubstr("listeners[\"odd\"].proxy_protocol_from[0]: "),
                          "listeners[\"odd\"].redirect_only.status: must be 301, 302, 307 or 308",
                          "listeners[\"odd\"].redirect_only.port: 65536 is out of range: 1 to 65535",
                          "listeners[\"odd\"].server_certificates: has no meaning with redirect_only",
                          "listeners[\"odd\"].client_certificate: has no meaning with redirect_only",
                          "listeners[\"odd\"].server_names: has no meaning with redirect_only",
                          "listeners[\"odd\"].min_tls_version: has no meaning with redirect_only",
                          "listeners[\"odd\"].verify_with: has no meaning with redirect_only",
                          "listeners[\"odd\"].session_tickets: has no meaning with redirect_only",
                          "listeners[\"odd\"].trusted_proxies: has no meaning with redirect_only",
                          "listeners[\"odd\"].access_log: has no meaning with redirect_only"));
}

TEST_F(ListenerTest, LimitsOfAddressesAndOfRequestsAreOffByDefault) {
  const Limits off = BuildGood(Base())->FindListener("edge")->limits;
  EXPECT_EQ(off.max_connections_per_address, 0u);
  EXPECT_EQ(off.request_timeout, absl::ZeroDuration());
  const Limits on = BuildGood(Base() + R"(listeners { name: "l" address: "127.0.0.1:2" server_certificates: "localhost"
                                                      limits { request_timeout { seconds: 9 } max_connections_per_address: 5 } })")
                        ->FindListener("l")->limits;
  EXPECT_EQ(on.max_connections_per_address, 5u);
  EXPECT_EQ(on.request_timeout, absl::Seconds(9));
  EXPECT_THAT(Lines(BuildText(Base() + R"(listeners { name: "l" address: "127.0.0.1:2" server_certificates: "localhost"
                                                      limits { request_timeout { nanos: 1 } } })").violations),
              ElementsAre(::testing::HasSubstr("listeners[\"l\"].limits.request_timeout: ")));
}

}  // namespace
}  // namespace gatehouse::config
