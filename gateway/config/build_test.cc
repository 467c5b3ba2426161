// What Build refuses and what it warns of.
#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

struct Bad {
  const char* text;
  const char* path;
  const char* message;  // a part of it
};

class BadInputTest : public BuildTest, public ::testing::WithParamInterface<Bad> {};

TEST_P(BadInputTest, IsOneViolationThatNamesFieldAndCause) {
  const Bad& bad = GetParam();
  const BuildResult result = BuildText(Base() + bad.text);
  EXPECT_EQ(result.snapshot, nullptr);
  ASSERT_THAT(Lines(result.violations), SizeIs(1));
  EXPECT_EQ(result.violations[0].path, bad.path);
  EXPECT_THAT(result.violations[0].message, HasSubstr(bad.message));
}

INSTANTIATE_TEST_SUITE_P(Routes, BadInputTest, ::testing::ValuesIn(std::vector<Bad>{
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} })", R"(routes["r"])", "neither `require` nor `anonymous"},
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} require {} })", R"(routes["r"].require)", "is empty"},
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} require { policies: "p" } } policies { name: "p" condition { claim { type: "g" present: true } } })",
     R"(routes["r"].require)", "is empty"},
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} anonymous: true require { any_scheme: true } })", R"(routes["r"])", "both"},
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} require { any_of: "Certificate" any_of: "Basci" } })",
     R"(routes["r"].require.any_of[1])", R"(no scheme named "Basci"; did you mean "Basic"?)"},
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} require { all_of: "Nothing" } })",
     R"(routes["r"].require.all_of[0])", R"(no scheme named "Nothing")"},
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} require { any_of: "Basic" any_of: "Basic" } })",
     R"(routes["r"].require.any_of[1])", "twice"},
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} require { any_of: "Basic" all_of: "Certificate" } })",
     R"(routes["r"].require)", "exactly one of"},
    {R"(routes { name: "r" match { path: "/r" } fixed_response {} require { any_of: "Basic" policies: "buyers" } })",
     R"(routes["r"].require.policies[0])", R"(no policy named "buyers")"},
    {R"(routes { name: "r" fixed_response {} anonymous: true })", R"(routes["r"].match)", "required"},
    {R"(routes { name: "r" match { path: "r" } fixed_response {} anonymous: true })", R"(routes["r"].match.path)", "begin with /"},
    {R"(routes { name: "r" match {} fixed_response {} anonymous: true })", R"(routes["r"].match.path)", "is required"},
    {R"(routes { name: "r" match { path: "/a/../b" } fixed_response {} anonymous: true })", R"(routes["r"].match.path)", "dot segment"},
    {R"(routes { name: "r" match { path: "/r" hosts: "a" hosts: "Shop" } fixed_response {} anonymous: true })", R"(routes["r"].match.hosts[1])", "lower case"},
    {R"(routes { name: "r" match { path: "/r" hosts: "a:80" } fixed_response {} anonymous: true })", R"(routes["r"].match.hosts[0])", "port"},
    {R"(routes { name: "r" match { path: "/r" methods: "get" } fixed_response {} anonymous: true })", R"(routes["r"].match.methods[0])", "upper-case"},
    {R"(routes { name: "r" match { path: "/r" methods: "TRACE" } fixed_response {} anonymous: true })", R"(routes["r"].match.methods[0])", "never served"},
    {R"(routes { name: "r" match { path: "/r" } anonymous: true })", R"(routes["r"])", "needs one of fixed_response"},
    {R"(routes { name: "r" match { path: "/r" } anonymous: true upstream: "order" })", R"(routes["r"].upstream)", R"(did you mean "orders"?)"},
    {R"(routes { name: "r" match { path: "/r" } anonymous: true fixed_response {} listeners: "egde" })", R"(routes["r"].listeners[0])", R"(did you mean "edge"?)"},
    {R"(routes { name: "r" match { path: "/r" } anonymous: true fixed_response { status: 100 } })", R"(routes["r"].fixed_response.status)", "out of range"},
    {R"(routes { name: "r" match { path: "/r" } anonymous: true fixed_response { content_type: "a\r\nb" } })", R"(routes["r"].fixed_response.content_type)", "visible ASCII"},
    {R"(routes { name: "r" match { path: "/r" } anonymous: true fixed_response { status: 204 body: "x" } })", R"(routes["r"].fixed_response.body)", "no body"},
    {R"(routes { name: "r" match { path: "/r" } anonymous: true fixed_response {} identity_headers { xfcc: true } })", R"(routes["r"].identity_headers)", "only for routes with an upstream"},
    {R"(routes { name: "r" match { path: "/r" } require { any_of: "Basic" } upstream: "orders" identity_headers { claims { key: "Host" value: "name" } } })",
     R"(routes["r"].identity_headers.claims["Host"])", ""},
    {R"(routes { name: "r" match { path: "/r" } require { any_of: "Basic" } upstream: "orders" identity_headers { claims { key: ":path" value: "name" } } })",
     R"(routes["r"].identity_headers.claims[":path"])", ""},
    {R"(routes { name: "1r" match { path: "/r" } anonymous: true fixed_response {} })", R"(routes["1r"].name)", "must be a letter"},
    {R"(routes { match { path: "/r" } anonymous: true fixed_response {} })", R"(routes[0].name)", "required"},
    {R"(routes { name: "a" match { path: "/x/{v}" } anonymous: true fixed_response {} } routes { name: "b" match { path: "/x/{w}" methods: "GET" } anonymous: true fixed_response {} })",
     R"(routes["b"].match)", "as routes/a"},
    {R"(routes { name: "a" match { path: "/x" } anonymous: true fixed_response {} } routes { name: "a" match { path: "/y" } anonymous: true fixed_response {} })",
     R"(routes["a"])", "twice"},
    {R"(schemes { name: "Second" basic { user_store: "staff" } } policies { name: "p" condition { claim { type: "group" exact: "x" } } }
        routes { name: "r" match { path: "/r" } fixed_response {} require { any_of: "Basic" any_of: "Second" policies: "p" } })",
     R"(routes["r"].require.policies[0])", "several schemes of this route (Basic, Second)"},
    {R"(policies { name: "p" condition { claim { type: "name" exact: "CN=x" } } }
        routes { name: "r" match { path: "/r" } fixed_response {} require { any_scheme: true policies: "p" } })",
     R"(routes["r"].require.policies[0])", "name the scheme or issuer"},
}));

INSTANTIATE_TEST_SUITE_P(Listeners, BadInputTest, ::testing::ValuesIn(std::vector<Bad>{
    {R"(listeners { name: "b" server_certificates: "localhost" })", R"(listeners["b"].address)", "is required"},
    {R"(listeners { name: "b" address: "localhost:1" server_certificates: "localhost" })", R"(listeners["b"].address)", "not an IP address"},
    {R"(listeners { name: "b" address: "::1:443" server_certificates: "localhost" })", R"(listeners["b"].address)", "brackets"},
    {R"(listeners { name: "b" address: "127.0.0.1" server_certificates: "localhost" })", R"(listeners["b"].address)", "no port"},
    {R"(listeners { name: "b" address: "127.0.0.1:65536" server_certificates: "localhost" })", R"(listeners["b"].address)", "port"},
    {R"(listeners { name: "f" address: "127.0.0.1:8443" server_certificates: "localhost" })", R"(listeners["f"].address)", "listeners/edge"},
    {R"(listeners { name: "f" address: "0.0.0.0:8443" server_certificates: "localhost" })", R"(listeners["f"].address)", "cannot be bound beside"},
    {R"(listeners { name: "f" address: "[::]:8443" server_certificates: "localhost" })", R"(listeners["f"].address)", "cannot be bound beside"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" })", R"(listeners["b"].server_certificates)", "1 to 1000"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhots" })", R"(listeners["b"].server_certificates[0])", R"(did you mean "localhost"?)"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhost" verify_with: "Certificat" })", R"(listeners["b"].verify_with)", R"(did you mean "Certificate"?)"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhost" verify_with: "Basic" })", R"(listeners["b"].verify_with)", "no client certificate scheme"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhost" server_names { name: "A.b" } })", R"(listeners["b"].server_names[0].name)", "lower-case"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhost" limits { max_header_count: 1001 } })", R"(listeners["b"].limits.max_header_count)", "out of range: 8 to 1000"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhost" limits { idle_timeout { seconds: -1 } } })", R"(listeners["b"].limits.idle_timeout)", "out of range"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhost" client_certificate: NONE }
        routes { name: "r" match { path: "/r" } fixed_response {} require { any_of: "Certificate" } })", R"(routes["r"].require)", "listeners/b never asks"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhost" client_certificate: NONE }
        routes { name: "r" match { path: "/r" } fixed_response {} require { all_of: "Basic" all_of: "Certificate" } })", R"(routes["r"].require)", "never asks"},
    {R"(listeners { name: "b" address: "127.0.0.1:1" server_certificates: "localhost" server_names { name: "localhost" client_certificate: NONE } }
        routes { name: "r" match { path: "/r" hosts: "localhost" } fixed_response {} require { any_of: "Certificate" } })", R"(routes["r"].require)", "under the name localhost"},
}));

INSTANTIATE_TEST_SUITE_P(Schemes, BadInputTest, ::testing::ValuesIn(std::vector<Bad>{
    {R"(schemes { name: "S" })", R"(schemes["S"])", "needs one of client_certificate and basic"},
    {R"(schemes { name: "S" client_certificate {} })", R"(schemes["S"].client_certificate.trust_store)", "is required"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partner" } })", R"(schemes["S"].client_certificate.trust_store)", R"(did you mean "partners"?)"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { mode: 9 } } })", R"(schemes["S"].client_certificate.revocation.mode)", "unknown value 9"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { timeout { nanos: 1 } } } })", R"(schemes["S"].client_certificate.revocation.timeout)", "out of range: 100ms to 1m"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { skew { seconds: 3601 } } } })", R"(schemes["S"].client_certificate.revocation.skew)", "out of range: 0 to 1h"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { max_age { seconds: 86401 } } } })", R"(schemes["S"].client_certificate.revocation.max_age)", "out of range: 1s to 24h"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { ocsp_url: "ldap://ocsp.test/" } } })", R"(schemes["S"].client_certificate.revocation.ocsp_url)", "no http or https URL"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { ocsp_url: "http://user:word@ocsp.test/" } } })", R"(schemes["S"].client_certificate.revocation.ocsp_url)", "no http or https URL"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { ocsp_url: "http:///path" } } })", R"(schemes["S"].client_certificate.revocation.ocsp_url)", "no http or https URL"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { ocsp_url: "http://ocsp.test/a b" } } })", R"(schemes["S"].client_certificate.revocation.ocsp_url)", "no http or https URL"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { fetch { max_crl_bytes: 134217729 } } } })", R"(schemes["S"].client_certificate.revocation.fetch.max_crl_bytes)", "out of range"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { fetch { max_redirects: 11 } } } })", R"(schemes["S"].client_certificate.revocation.fetch.max_redirects)", "0 to 10"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { fetch { allowed_ranges: "10.0.0.1/8" } } } })", R"(schemes["S"].client_certificate.revocation.fetch.allowed_ranges[0])", "below its prefix"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" revocation { fetch { denied_ranges: "ocsp.test" } } } })", R"(schemes["S"].client_certificate.revocation.fetch.denied_ranges[0])", "not an IP address"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" self_signed_trust: ANY } })", R"(schemes["S"].client_certificate.accept_any_self_signed)", "development"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" accept_any_self_signed: "development" } })", R"(schemes["S"].client_certificate.accept_any_self_signed)", "only for"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" clock_skew { seconds: 3601 } } })", R"(schemes["S"].client_certificate.clock_skew)", "out of range: 0 to 1h"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" min_rsa_bits: 512 } })", R"(schemes["S"].client_certificate.min_rsa_bits)", "1024 to 8192"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" min_ec_bits: 192 } })", R"(schemes["S"].client_certificate.min_ec_bits)", "224 to 521"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" required_policies: "1.2.3" required_policies: "any" } })", R"(schemes["S"].client_certificate.required_policies[1])", "dotted object identifier"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" required_policies: "2.5.29.32.0" } })", R"(schemes["S"].client_certificate.required_policies[0])", "anyPolicy"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" require { subject { attribute: "CN" value { regex: "(" } } } } })", R"(schemes["S"].client_certificate.require.subject[0].value.regex)", "regular expression"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" require { subject { attribute: "CX" value { exact: "a" } } } } })", R"(schemes["S"].client_certificate.require.subject[0].attribute)", "unknown attribute"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" require { issuer {} } } })", R"(schemes["S"].client_certificate.require.issuer[0])", "needs one of"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" require { san_ip: "10.0.0.1/8" } } })", R"(schemes["S"].client_certificate.require.san_ip[0])", "below its prefix"},
    {R"(schemes { name: "S" client_certificate { trust_store: "partners" require { forbidden_signature_algorithms: "rot13" } } })", R"(schemes["S"].client_certificate.require.forbidden_signature_algorithms[0])", "unknown"},
    {R"(schemes { name: "S" basic {} })", R"(schemes["S"].basic.user_store)", "is required"},
    {R"(schemes { name: "S" basic { user_store: "stuff" } })", R"(schemes["S"].basic.user_store)", R"(did you mean "staff"?)"},
    {R"(schemes { name: "S" basic { user_store: "staff" realm: "a\nb" } })", R"(schemes["S"].basic.realm)", "control"},
    {R"(schemes { name: "S" basic { user_store: "staff" cache_ttl { seconds: 90000 } } })", R"(schemes["S"].basic.cache_ttl)", "out of range"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { free_failures: 1001 } } })", R"(schemes["S"].basic.throttle.free_failures)", "1 to 1000"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { lockout_failures: 5 } } })", R"(schemes["S"].basic.throttle.lockout_failures)", "6 to 100000"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { free_failures: 9 lockout_failures: 9 } } })", R"(schemes["S"].basic.throttle.lockout_failures)", "10 to 100000"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { user_free_failures: 100001 } } })", R"(schemes["S"].basic.throttle.user_free_failures)", "1 to 100000"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { address_free_users: 1000000 } } })", R"(schemes["S"].basic.throttle.address_free_users)", "1 to 999999"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { address_lockout_users: 20 } } })", R"(schemes["S"].basic.throttle.address_lockout_users)", "21 to 1000000"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { spray_users: 1 } } })", R"(schemes["S"].basic.throttle.spray_users)", "2 to 1000000"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { first_delay { nanos: 99999999 } } } })", R"(schemes["S"].basic.throttle.first_delay)", "100ms to 1m"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { first_delay { seconds: 40 } max_delay { seconds: 39 } } } })", R"(schemes["S"].basic.throttle.max_delay)", "40s to 1h"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { lockout { seconds: 86401 } } } })", R"(schemes["S"].basic.throttle.lockout)", "1s to 24h"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { forget { seconds: -1 } } } })", R"(schemes["S"].basic.throttle.forget)", "1s to 24h"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { user_delay { seconds: 61 } } } })", R"(schemes["S"].basic.throttle.user_delay)", "100ms to 1m"},
    {R"(schemes { name: "S" basic { user_store: "staff" throttle { spray_window { seconds: 86401 } } } })", R"(schemes["S"].basic.throttle.spray_window)", "1s to 24h"},
}));

INSTANTIATE_TEST_SUITE_P(Leaves, BadInputTest, ::testing::ValuesIn(std::vector<Bad>{
    {R"(trust_stores { name: "t" })", R"(trustStores["t"])", "no anchor and no pin"},
    {R"(trust_stores { name: "t" anchors { pem: "@ca@" } anchors { pem: "hello" } })", R"(trustStores["t"].anchors[1])", ""},
    {R"(trust_stores { name: "t" anchors { pem: "@key@" } })", R"(trustStores["t"].anchors[0])", "private key"},
    {R"(trust_stores { name: "t" anchors { } })", R"(trustStores["t"].anchors[0].pem)", "is required"},
    {R"(trust_stores { name: "t" pins { certificate_sha256: "12" } })", R"(trustStores["t"].pins[0].certificate_sha256)", "64 hexadecimal"},
    {R"(trust_stores { name: "t" pins { } })", R"(trustStores["t"].pins[0])", "needs one of"},
    {R"(trust_stores { name: "t" anchors { pem: "@ca@" } crls { pem: "@ca@" } })", R"(trustStores["t"].crls[0])", "CRL"},
    {R"(server_certificates { name: "s" certificate_chain_pem: "@localhost@" })", R"(serverCertificates["s"].private_key_pem)", "required"},
    {R"(server_certificates { name: "s" certificate_chain_pem: "@localhost@" private_key_pem: "@other-key@" })", R"(serverCertificates["s"])", "match"},
    {R"(server_certificates { name: "s" certificate_chain_pem: "junk" private_key_pem: "@key@" })", R"(serverCertificates["s"])", ""},
    {R"(user_stores { name: "u" users { name: "a" } })", R"(userStores["u"].users["a"].password_hashes)", "one hash"},
    {R"(user_stores { name: "u" users { name: "a" password_hashes: "plain" } })", R"(userStores["u"].users["a"].password_hashes[0])", ""},
    {R"(user_stores { name: "u" users { name: "a" password_hashes: "@hash@" } users { name: "a" password_hashes: "@hash@" } })", R"(userStores["u"].users["a"].name)", "earlier user"},
    {R"(user_stores { name: "u" users { name: "a" password_hashes: "@hash@" claims { type: "Thumbprint" value: "x" } } })", R"(userStores["u"].users["a"].claims[0].type)", "reserved"},
    {R"(upstreams { name: "u" })", R"(upstreams["u"].endpoints)", "1 to 256"},
    {R"(upstreams { name: "u" endpoints: "10.0.0.1:0" })", R"(upstreams["u"].endpoints[0])", "port"},
    {R"(upstreams { name: "u" endpoints: "10.0.0.1:1" endpoints: "web" })", R"(upstreams["u"].endpoints[1])", "must be ip:port, [v6]:port or name:port"},
    {R"(upstreams { name: "u" endpoints: "10.0.0.1:1" max_connections: 70000 })", R"(upstreams["u"].max_connections)", "out of range"},
    {R"(policies { name: "p" })", R"(policies["p"].condition)", "required"},
    {R"(policies { name: "p" condition {} })", R"(policies["p"].condition)", "needs one of"},
    {R"(policies { name: "p" condition { all_of {} } })", R"(policies["p"].condition.all_of)", "not be empty"},
    {R"(policies { name: "p" condition { claim { type: "g" } } })", R"(policies["p"].condition.claim)", "needs exactly one of"},
    {R"(policies { name: "p" condition { claim { type: "g" present: false } } })", R"(policies["p"].condition.claim)", "present: true"},
    {R"(policies { name: "p" condition { any_of { conditions { claim { type: "g" exact: "a" } } conditions { claim { type: "g" regex: "(" } } } } })", R"(policies["p"].condition.any_of[1].claim.regex)", "RE2"},
    {R"(policies { name: "p" condition { claim { type: "g" exact: "a" scheme: "Basicc" } } })", R"(policies["p"].condition.claim.scheme)", R"(did you mean "Basic"?)"},
}));

TEST_F(BuildTest, ReportsEveryViolationAtOnce) {
  const BuildResult result = BuildText(R"(
      listeners { name: "edge" address: "nowhere" server_certificates: "x" }
      trust_stores { name: "t" }
      schemes { name: "S" client_certificate { trust_store: "u" } }
      routes { name: "a" match { path: "/a" } fixed_response {} }
      routes { name: "b" match { path: "/c" } anonymous: true fixed_response {} }
      routes { name: "c" match { path: "/c" } anonymous: true fixed_response {} })");
  std::vector<std::string> paths;
  for (const Violation& v : result.violations) paths.push_back(v.path);
  EXPECT_THAT(paths, UnorderedElementsAre(R"(listeners["edge"].address)", R"(listeners["edge"].server_certificates[0])",
                                          R"(trustStores["t"])", R"(schemes["S"].client_certificate.trust_store)",
                                          R"(routes["a"])", R"(routes["c"].match)"));
}

TEST_F(BuildTest, NoMessageHoldsASecret) {
  const BuildResult result = BuildText(R"(
      server_certificates { name: "s" certificate_chain_pem: "@key@" private_key_pem: "SECRET-KEY" }
      user_stores { name: "u" users { name: "a" password_hashes: "SECRET-HASH" } })");
  ASSERT_THAT(result.violations, Not(IsEmpty()));
  for (const std::string& line : Lines(result.violations)) EXPECT_THAT(line, Not(HasSubstr("SECRET")));
}

TEST_F(BuildTest, AnEmptySetIsASnapshotThatServesNothing) {
  const std::shared_ptr<const Snapshot> snapshot = BuildGood("");
  EXPECT_THAT(snapshot->listeners, IsEmpty());
  EXPECT_EQ(snapshot->revision, 7u);
  EXPECT_EQ(snapshot->incarnation, "i");
}

TEST_F(BuildTest, RequiredPoliciesRefuseAPathOfNoPolicy) {
  const auto policy_of = [this](const std::string& options) {
    const auto snapshot = BuildGood(R"(trust_stores { name: "t" anchors { pem: "@ca@" } }
        schemes { name: "S" client_certificate { trust_store: "t" )" + options + "} }");
    return snapshot->schemes.front().certificate()->policy;
  };
  EXPECT_FALSE(policy_of("").require_explicit);
  const certs::PolicyOptions required = policy_of(R"(required_policies: "1.2.3")");
  EXPECT_TRUE(required.require_explicit);
  EXPECT_THAT(required.initial_set, ElementsAre(*certs::ParsePolicy("1.2.3")));
  EXPECT_TRUE(policy_of("require_explicit_policy: true").require_explicit);
  EXPECT_TRUE(policy_of("inhibit_policy_mapping: true").inhibit_mapping);
  EXPECT_TRUE(policy_of("inhibit_any_policy: true").inhibit_any);
}

TEST_F(BuildTest, WarnsOfWhatIsAllowedButUnwise) {
  const BuildResult result = BuildText(Base() + R"(
      trust_stores { name: "old" anchors { pem: "@old-ca@" } }
      server_certificates { name: "dying" certificate_chain_pem: "@dying@" private_key_pem: "@key@" }
      schemes { name: "Loose" client_certificate { trust_store: "old" self_signed_trust: ANY
                accept_any_self_signed: "development" validate_certificate_use: false validate_validity_period: false
                allow_sha1: true min_rsa_bits: 1024 min_ec_bits: 224 } }
      routes { name: "open" match { path: "/app/{rest...}" } anonymous: true fixed_response {} }
      routes { name: "admin" match { path: "/app/admin" } require { any_of: "Basic" } fixed_response {} }
      routes { name: "beside" match { path: "/apple" } require { any_of: "Basic" } fixed_response {} })");
  ASSERT_TRUE(result.ok()) << ::testing::PrintToString(Lines(result.violations));
  EXPECT_THAT(Lines(result.warnings),
              UnorderedElementsAre(
                  StartsWith(R"(trustStores["old"].anchors: CN=Old CA expires in 10 d)"),
                  StartsWith(R"(serverCertificates["dying"]: CN=server expires in 2 d)"),
                  StartsWith(R"(schemes["Certificate"].client_certificate.revocation.mode: NO_CHECK)"),
                  StartsWith(R"(schemes["Loose"].client_certificate.self_signed_trust: ANY)"),
                  StartsWith(R"(schemes["Loose"].client_certificate.allowed_certificate_types: ALL)"),
                  StartsWith(R"(schemes["Loose"].client_certificate.revocation.mode: NO_CHECK)"),
                  StartsWith(R"(schemes["Loose"].client_certificate.allow_sha1: accepts signatures that can be forged)"),
                  StartsWith(R"(schemes["Loose"].client_certificate.min_rsa_bits: accepts RSA keys of 1024 bits)"),
                  StartsWith(R"(schemes["Loose"].client_certificate.min_ec_bits: accepts elliptic curves of 224 bits)"),
                  StartsWith(R"(schemes["Loose"].client_certificate.validate_certificate_use: is off)"),
                  StartsWith(R"(schemes["Loose"].client_certificate.validate_validity_period: is off)"),
                  R"(routes["open"]: anonymous, and encloses "/app/admin" of routes/admin, which is protected)"));
}

TEST_F(BuildTest, WarnsOfWhatIsTakenForSomethingElse) {
  const BuildResult result = BuildText(Base() + R"(
      trust_stores { name: "leaf" anchors { pem: "@localhost@" } anchors { pem: "@other-ca@" } }
      routes { name: "all" match { path: "/x/*" } anonymous: true fixed_response {} }
      routes { name: "rest" match { path: "/x/{rest...}" } anonymous: true fixed_response {} })");
  ASSERT_TRUE(result.ok()) << ::testing::PrintToString(Lines(result.violations));
  EXPECT_THAT(Lines(result.warnings),
              UnorderedElementsAre(StartsWith(R"(schemes["Certificate"].client_certificate.revocation.mode: NO_CHECK)"),
                                   StartsWith(R"(trustStores["leaf"].anchors: CN=server is no certificate authority)"),
                                   StartsWith(R"(routes["all"].match.path: "/x/*": * stands for itself only)")));
}

TEST_F(BuildTest, RevocationIsReadWithItsDefaults) {
  const auto options = [this](const std::string& revocation) {
    return BuildGood(Base() + R"(schemes { name: "R" client_certificate { trust_store: "partners" revocation { )" +
                     revocation + " } } }")
        ->FindScheme("R")
        ->certificate();
  };
  const auto online = options("mode: ONLINE");
  EXPECT_EQ(online->revocation.mode, certs::RevocationMode::kOnline);
  EXPECT_EQ(online->revocation.on_unknown, certs::OnUnknown::kRefuse);
  EXPECT_EQ(online->revocation.timeout, absl::Seconds(5));
  EXPECT_EQ(online->revocation.skew, absl::Minutes(5));
  EXPECT_EQ(online->revocation.max_redirects, 3);
  EXPECT_EQ(online->revocation.max_crl_bytes, 20u << 20);
  EXPECT_TRUE(online->revocation.ocsp_nonce);
  const auto offline = options(R"(mode: OFFLINE scope: ENTIRE_CHAIN on_unknown: ALLOW skew {} timeout { seconds: 2 }
      ocsp_url: "http://ocsp.test:8080/x" ocsp_nonce: false
      fetch { max_crl_bytes: 7 max_redirects: 0 allowed_ranges: "127.0.0.0/8" denied_ranges: "10.0.0.0/8" })");
  EXPECT_EQ(offline->revocation.mode, certs::RevocationMode::kOffline);
  EXPECT_EQ(offline->revocation.scope, certs::RevocationScope::kEntireChain);
  EXPECT_EQ(offline->revocation.on_unknown, certs::OnUnknown::kAllow);
  EXPECT_EQ(offline->revocation.skew, absl::ZeroDuration());
  EXPECT_EQ(offline->revocation.timeout, absl::Seconds(2));
  EXPECT_EQ(offline->revocation.ocsp_url, "http://ocsp.test:8080/x");
  EXPECT_FALSE(offline->revocation.ocsp_nonce);
  EXPECT_EQ(offline->revocation.max_crl_bytes, 7u);
  EXPECT_EQ(offline->revocation.max_redirects, 0);
  EXPECT_EQ(offline->revocation.allowed_ranges.size(), 1u);
  EXPECT_EQ(offline->revocation.denied_ranges.size(), 1u);
  EXPECT_NE(offline->epoch, online->epoch);
  EXPECT_NE(options("mode: ONLINE fetch { denied_ranges: \"10.0.0.0/8\" }")->epoch, online->epoch)
      << "every option is in the epoch";
}

TEST_F(BuildTest, WatchedListsAreThePathsOfTheTrustStore) {
  const std::shared_ptr<const Snapshot> snapshot = BuildGood(Base() + R"(
      trust_stores { name: "w" anchors { pem: "@ca@" } crl_paths: "/etc/crls" crl_paths: "/run/a.crl" }
      schemes { name: "W" client_certificate { trust_store: "w" revocation { mode: OFFLINE } } })");
  EXPECT_THAT(snapshot->FindScheme("W")->certificate()->trust_store->crl_paths(),
              ElementsAre("/etc/crls", "/run/a.crl"));
  const BuildResult bad = BuildText(Base() + R"(
      trust_stores { name: "w" anchors { pem: "@ca@" } crl_paths: "relative" crl_paths: "/a" crl_paths: "/a" })");
  EXPECT_THAT(Lines(bad.violations),
              UnorderedElementsAre(StartsWith(R"(trustStores["w"].crl_paths[0]: must be an absolute path)"),
                                   StartsWith(R"(trustStores["w"].crl_paths[2]: "/a" is there twice)")));
}

TEST_F(BuildTest, ListsMayBeLongAndNotWithoutEnd) {
  v1::ConfigSet set = Parse(Base() + R"(trust_stores { name: "w" anchors { pem: "@ca@" } crls { pem: "@crl@" } })");
  const auto refusals = [&] { return Lines(Build(set, {.revision = 7, .incarnation = "i", .now = Now()}).violations); };
  std::string* pem = set.mutable_trust_stores(1)->mutable_crls(0)->mutable_pem();
  pem->insert(0, std::string(10 << 20, '\n'));
  EXPECT_THAT(refusals(), ::testing::IsEmpty());
  pem->insert(0, std::string(119 << 20, '\n'));
  EXPECT_THAT(refusals(),
              ElementsAre(AllOf(StartsWith(R"(trustStores["w"].crls: )"), HasSubstr("bytes together, at most 134217728"))));
  set.mutable_trust_stores(1)->clear_crls();
  set.mutable_trust_stores(1)->mutable_anchors(0)->mutable_pem()->insert(0, std::string(9 << 20, '\n'));
  EXPECT_THAT(refusals(), ElementsAre(StartsWith(R"(trustStores["w"].anchors: )")));
}

TEST_F(BuildTest, ListsAreKeptWhereTheSystemsRootsJoinTheStore) {
  const std::shared_ptr<const Snapshot> snapshot = BuildGood(Base() + R"(
      trust_stores { name: "w" anchors { pem: "@ca@" } crls { pem: "@crl@" } }
      schemes { name: "W" client_certificate { trust_store: "w" system_roots: true revocation { mode: OFFLINE } } })");
  EXPECT_THAT(snapshot->FindScheme("W")->certificate()->trust_store->crls(), SizeIs(1));
}

TEST_F(BuildTest, WarnsOfTls12WhereClientsShowCertificatesAndNowhereElse) {
  const auto warned = [this](const std::string& listener) {
    const BuildResult result = BuildText(Base() + listener);
    EXPECT_TRUE(result.ok()) << ::testing::PrintToString(Lines(result.violations));
    return Lines(result.warnings);
  };
  const std::string rest = R"( name: "two" address: "127.0.0.1:9443" server_certificates: "localhost" })";
  EXPECT_THAT(warned("listeners { client_certificate: ALLOW" + rest), Contains(StartsWith(R"(listeners["two"].min_tls_version)")));
  EXPECT_THAT(warned("listeners { min_tls_version: TLS_1_3" + rest), Not(Contains(StartsWith(R"(listeners["two"].min_tls)"))));
  EXPECT_THAT(warned("listeners { client_certificate: NONE" + rest), Not(Contains(StartsWith(R"(listeners["two"].min_tls)"))));
}

TEST_F(BuildTest, WarnsOfRevocationThatLetsIn) {
  const BuildResult result = BuildText(Base() + R"(
      schemes { name: "Soft" client_certificate { trust_store: "partners" allowed_certificate_types: CHAINED
                revocation { mode: ONLINE on_unknown: ALLOW } } }
      schemes { name: "Blind" client_certificate { trust_store: "partners" allowed_certificate_types: CHAINED
                revocation { mode: OFFLINE } } })");
  ASSERT_TRUE(result.ok()) << ::testing::PrintToString(Lines(result.violations));
  EXPECT_THAT(Lines(result.warnings),
              AllOf(Contains(StartsWith(R"(schemes["Soft"].client_certificate.revocation.on_unknown: is ALLOW)")),
                    Contains(StartsWith(R"(schemes["Blind"].client_certificate.revocation.mode: OFFLINE, but)")),
                    Not(Contains(StartsWith(R"(schemes["Soft"].client_certificate.revocation.mode)")))));
}

TEST_F(BuildTest, WarnsThatANewSchemeOpensAnySchemeRoutes) {
  const std::string before = Base() + Good("a", "require { any_scheme: true }") + Good("b", "require { any_scheme: true }");
  const std::shared_ptr<const Snapshot> first = BuildGood(before);
  const std::string more = R"(schemes { name: "Third" basic { user_store: "staff" } })";
  EXPECT_THAT(Lines(BuildText(before + more, first.get()).warnings),
              Contains(StartsWith(R"(schemes["Third"]: opens 2 any_scheme routes)")));
  const std::string outside = R"(schemes { name: "Third" in_any_scheme: false basic { user_store: "staff" } })";
  EXPECT_THAT(Lines(BuildText(before + outside, first.get()).warnings), Not(Contains(HasSubstr("opens"))));
  EXPECT_THAT(Lines(BuildText(before, first.get()).warnings), Not(Contains(HasSubstr("opens"))));
}

TEST_F(BuildTest, ReadsHowGuessingIsSlowedAndWhatFollowsFromWhat) {
  const auto throttle = [this](const std::string& text) {
    return BuildGood(Base() + R"(schemes { name: "T" basic { user_store: "staff" throttle { )" + text + " } } }")
        ->FindScheme("T")->basic()->throttle;
  };
  EXPECT_EQ(throttle(""), credentials::ThrottleOptions());
  EXPECT_EQ(throttle("free_failures: 50").lockout_failures, 100u);
  EXPECT_EQ(throttle("address_free_users: 1000").address_lockout_users, 1500u);
  EXPECT_EQ(throttle("address_free_users: 1").address_lockout_users, 2u);
  EXPECT_EQ(throttle("first_delay { seconds: 45 }").max_delay, absl::Seconds(45));
  const credentials::ThrottleOptions all = throttle(R"(free_failures: 1 first_delay { seconds: 2 } max_delay { seconds: 3 }
      lockout_failures: 4 lockout { seconds: 5 } forget { seconds: 6 } user_free_failures: 7 user_delay { seconds: 8 }
      address_free_users: 9 address_lockout_users: 10 spray_users: 11 spray_window { seconds: 12 })");
  EXPECT_EQ(all, (credentials::ThrottleOptions{1, absl::Seconds(2), absl::Seconds(3), 4, absl::Seconds(5), absl::Seconds(6),
                                               7, absl::Seconds(8), 9, 10, 11, absl::Seconds(12)}));
}

TEST_F(BuildTest, CompilesARoute) {
  const std::shared_ptr<const Snapshot> snapshot = BuildGood(
      Base() + R"(policies { name: "buyers" condition { claim { type: "group" scheme: "Basic" exact: "buyers" } } })" +
      RouteText("orders", R"(match { path: "/orders/{rest...}" hosts: "shop.example" }
                         require { any_of: "Certificate" any_of: "Basic" policies: "buyers" } upstream: "orders"
                         keep_authorization: true websocket: true
                         identity_headers { xfcc: true claims { key: "X-User" value: "nameidentifier" } })") +
      Good("open", "anonymous: true") + Good("all", "require { all_of: \"Basic\" all_of: \"Certificate\" }") +
      Good("any", "require { any_scheme: true }"));
  const Route* orders = snapshot->FindRoute("orders");
  ASSERT_NE(orders, nullptr);
  EXPECT_EQ(orders->requirement.mode, authn::Mode::kAnyOf);
  EXPECT_THAT(orders->requirement.schemes,
              ElementsAre(snapshot->FindScheme("Certificate")->index, snapshot->FindScheme("Basic")->index));
  EXPECT_THAT(orders->requirement.policies, SizeIs(1));
  EXPECT_THAT(orders->challenges, ElementsAre(R"(ClientCertificate realm="Certificate")",
                                              R"(Basic realm="our staff", charset="UTF-8")"));
  EXPECT_EQ(orders->action, Action::kUpstream);
  EXPECT_TRUE(orders->keep_authorization);
  EXPECT_TRUE(orders->websocket);
  EXPECT_EQ(snapshot->upstream(orders->upstream).name, "orders");
  ASSERT_NE(orders->injector, nullptr);
  EXPECT_TRUE(snapshot->strip.Removes("x_USER"));
  EXPECT_TRUE(snapshot->strip.Removes("X-Forwarded-Client-Cert"));
  EXPECT_FALSE(snapshot->strip.Removes("x-other"));

  const Route* open = snapshot->FindRoute("open");
  EXPECT_TRUE(open->anonymous());
  EXPECT_THAT(open->challenges, IsEmpty());
  EXPECT_EQ(open->fixed_response->status, 200);
  EXPECT_EQ(open->fixed_response->content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(open->fixed_response->body, "x");
  EXPECT_EQ(snapshot->FindRoute("all")->requirement.mode, authn::Mode::kAllOf);
  EXPECT_EQ(snapshot->FindRoute("any")->requirement.mode, authn::Mode::kAnyScheme);
  EXPECT_THAT(snapshot->FindRoute("any")->requirement.schemes, SizeIs(2));
  EXPECT_EQ(snapshot->FindRoute("none"), nullptr);
}

TEST_F(BuildTest, OnlyAnUpstreamSpeaksWebSocket) {
  EXPECT_THAT(Lines(BuildText(Base() + Good("open", "anonymous: true websocket: true")).violations),
              ElementsAre("routes[\"open\"].websocket: is only for routes with an upstream"));
}

TEST_F(BuildTest, ASchemeThatIsNotInAnySchemeStaysOut) {
  const std::shared_ptr<const Snapshot> snapshot = BuildGood(
      Base() + R"(schemes { name: "Aside" in_any_scheme: false basic { user_store: "staff" } })" +
      Good("any", "require { any_scheme: true }"));
  EXPECT_THAT(snapshot->FindRoute("any")->requirement.schemes,
              ElementsAre(snapshot->FindScheme("Basic")->index, snapshot->FindScheme("Certificate")->index));
}

TEST_F(BuildTest, ServerCertificatesInFilesAreCheckedForFormWhereTheFilesCannotBeSeen) {
  const std::string files = R"(
    listeners { name: "edge" address: "127.0.0.1:8443" server_certificates: "web" client_certificate: NONE }
    trust_stores { name: "partners" anchors { pem: "@ca@" } }
    schemes { name: "Certificate" client_certificate { trust_store: "partners" } }
    server_certificates { name: "web" files { certificate_chain_path: "/tls/crt" private_key_path: "/tls/key" } }
  )";
  std::shared_ptr<const Snapshot> seen = BuildGood(files);
  EXPECT_FALSE(seen->complete);
  EXPECT_THAT(seen->files, ElementsAre("/tls/crt", "/tls/key"));
  EXPECT_THAT(Lines(BuildText(files + Good("secure", "require { any_of: \"Certificate\" }")).violations),
              ElementsAre(HasSubstr("needs a client certificate, but listeners/edge never asks for one")))
      << "what follows from the form is still found";
  EXPECT_THAT(Lines(BuildText(R"(
    server_certificates { name: "a" files { certificate_chain_path: "crt" } }
    server_certificates { name: "b" certificate_chain_pem: "@localhost@" private_key_pem: "@key@"
                          files { certificate_chain_path: "/tls/crt" private_key_path: "/tls\nkey" } }
  )").violations),
              ElementsAre("serverCertificates[\"a\"].files.certificate_chain_path: \"crt\" is no absolute path without control characters",
                          "serverCertificates[\"a\"].files.private_key_path: is required",
                          "serverCertificates[\"b\"].files: excludes certificate_chain_pem and private_key_pem",
                          "serverCertificates[\"b\"].files.private_key_path: \"/tls\\x0Akey\" is no absolute path without control characters"));
}

}  // namespace
}  // namespace gatehouse::config
