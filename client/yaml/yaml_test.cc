#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/yaml/kinds.h"
#include "client/yaml/reader.h"
#include "client/yaml/tree.h"
#include "client/yaml/writer.h"

namespace gatehouse::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kCertificate[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
constexpr char kKey[] = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
constexpr char kCrl[] = "-----BEGIN X509 CRL-----\nMIIC\n-----END X509 CRL-----\n";

class YamlTest : public ::testing::Test {
 protected:
  Reader NewReader(ReadLimits limits = {}) {
    return Reader(
        [this](const std::string& path, size_t) -> absl::StatusOr<std::string> {
          auto found = files_.find(path);
          if (found == files_.end()) return absl::NotFoundError(path + ": No such file or directory");
          return found->second;
        },
        limits);
  }
  v1::ConfigSet Read(const std::string& text) {
    Reader reader = NewReader();
    reader.Read(text, "edge.yaml", "conf");
    for (const Problem& problem : reader.problems()) ADD_FAILURE() << problem.ToString();
    return reader.set();
  }
  std::vector<std::string> Problems(const std::string& text, ReadLimits limits = {}) {
    Reader reader = NewReader(limits);
    reader.Read(text, "edge.yaml", "conf");
    std::vector<std::string> out;
    for (const Problem& problem : reader.problems()) out.push_back(problem.ToString());
    return out;
  }
  static bool Same(const v1::ConfigSet& a, const v1::ConfigSet& b) {
    return google::protobuf::util::MessageDifferencer::Equals(a, b);
  }

  std::map<std::string, std::string> files_ = {
      {"conf/ca.pem", kCertificate}, {"/etc/ca.key", kKey}, {"conf/ca.crl", kCrl}, {"conf/notes.txt", "hello"}};
};

TEST_F(YamlTest, ReadsDocumentsOfEveryKind) {
  v1::ConfigSet set = Read(R"(
kind: TrustStore
name: partners
anchors: [{file: ca.pem}, {pem: "inline"}]
crls: [{file: ca.crl}]
pins: [{file: ca.pem, comment: old laptop}, {spkiSha256: "00:11"}]
---
kind: UserStore
name: staff
users:
  - {name: alice, password_hash: $2b$10$x, expire_time: 2027-01-31T12:00:00.5Z}
  - {name: bob, password_hashes: [a, b], claims: [{type: team, value: "7"}]}
---
kind: Scheme
name: Certificate
client_certificate:
  trust_store: partners
  allowed_certificate_types: CHAINED
  validate_certificate_use: false
  clock_skew: 1m30s
  revocation: {mode: NO_CHECK}
in_any_scheme: false
---
kind: Policy
name: buyers
condition: {any_of: [{claim: {type: team, exact: "7"}}, {none_of: [{claim: {type: x, present: true}}]}]}
---
{"kind": "Listener", "name": "edge", "address": "0.0.0.0:8443", "serverCertificates": ["localhost"],
 "limits": {"maxBodyBytes": 18446744073709551615}, "labels": {"a": "b"}}
---
kind: Upstream
name: orders
endpoints: [10.0.0.7:8080]
---
kind: Route
name: orders
match: {hosts: [shop.example], path: "/orders/{rest...}"}
require: {any_of: [Certificate, Basic], policies: [buyers]}
upstream: orders
identity_headers: {xfcc: true, claims: {X-Auth-Subject: nameidentifier}}
---
kind: ServerCertificate
name: localhost
certificate_chain_file: ca.pem
private_key_file: /etc/ca.key
---
)");
  ASSERT_EQ(set.trust_stores_size(), 1);
  EXPECT_EQ(set.trust_stores(0).anchors(0).pem(), kCertificate);
  EXPECT_EQ(set.trust_stores(0).anchors(1).pem(), "inline");
  EXPECT_EQ(set.trust_stores(0).crls(0).pem(), kCrl);
  EXPECT_EQ(set.trust_stores(0).pins(0).pem(), kCertificate);
  EXPECT_EQ(set.trust_stores(0).pins(1).spki_sha256(), "00:11");
  EXPECT_THAT(set.user_stores(0).users(0).password_hashes(), ElementsAre("$2b$10$x"));
  EXPECT_EQ(set.user_stores(0).users(0).expire_time().nanos(), 500'000'000);
  EXPECT_EQ(set.user_stores(0).users(1).claims(0).value(), "7");
  const v1::Scheme& scheme = set.schemes(0);
  EXPECT_EQ(scheme.client_certificate().allowed_certificate_types(), v1::ClientCertificateScheme::CHAINED);
  EXPECT_TRUE(scheme.client_certificate().has_validate_certificate_use());
  EXPECT_FALSE(scheme.client_certificate().validate_certificate_use());
  EXPECT_EQ(scheme.client_certificate().clock_skew().seconds(), 90);
  EXPECT_TRUE(scheme.has_in_any_scheme());
  EXPECT_EQ(set.policies(0).condition().any_of().conditions(1).none_of().conditions_size(), 1);
  EXPECT_EQ(set.listeners(0).limits().max_body_bytes(), 18446744073709551615u);
  EXPECT_EQ(set.listeners(0).labels().at("a"), "b");
  EXPECT_EQ(set.upstreams(0).endpoints(0), "10.0.0.7:8080");
  EXPECT_EQ(set.routes(0).identity_headers().claims().at("X-Auth-Subject"), "nameidentifier");
  EXPECT_EQ(set.server_certificates(0).private_key_pem(), kKey);
}

struct BadText {
  const char* text;
  const char* problem;
};

class BadYamlTest : public YamlTest, public ::testing::WithParamInterface<BadText> {};

TEST_P(BadYamlTest, NamesLinePathAndRemedy) {
  EXPECT_THAT(Problems(GetParam().text), ElementsAre(HasSubstr(GetParam().problem))) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadYamlTest,
    ::testing::Values(
        BadText{"kind: Route\nname: a\nmethod: [GET]\n", "edge.yaml:3: routes[\"a\"]: unknown field \"method\""},
        BadText{"kind: Route\nname: a\nmatch:\n  hots: [x]\n",
                "edge.yaml:4: routes[\"a\"].match: unknown field \"hots\"; did you mean \"hosts\"?"},
        BadText{"kind: Rout\nname: a\n", "edge.yaml:1: kind: no kind named \"Rout\"; did you mean \"Route\"?"},
        BadText{"name: a\n", "`kind` is missing"},
        BadText{"kind: Route\nname: a\nmatch:\n\tpath: /\n", "edge.yaml:4: illegal map value: the line is indented with a tab, and YAML wants spaces"},
        BadText{"kind: Route\nname: a\n match: {path: /}\n", "edge.yaml:3: illegal map value: is the line indented as its neighbours are?"},
        BadText{"kind: Route\nmatch: {path: /}\n", "edge.yaml:1: routes: `name` is required"},
        BadText{"kind: Route\nname: a\n---\nkind: Route\nname: a\n",
                "edge.yaml:5: routes[\"a\"]: defined twice; the first is at edge.yaml:1"},
        BadText{"kind: Route\nname: a\nanonymous: true\nanonymous: true\n",
                "edge.yaml:4: routes[\"a\"].anonymous: given twice"},
        BadText{"kind: Route\nname: a\nidentity_response: {}\nidentityResponse: {}\n", "excludes identity_response"},
        BadText{"kind: Route\nname: a\nlabels: {a: b, a: c}\n", "labels[\"a\"]: given twice"},
        BadText{"kind: Route\nname: a\nrequire:\n", "routes[\"a\"].require: has no value"},
        BadText{"kind: Route\nname: a\nrequire: {any_of: [~]}\n", "require.any_of[0]: has no value"},
        BadText{"kind: Route\nname: a\nrequire: {any_of: Certificate}\n",
                "routes[\"a\"].require.any_of: must be a list, found a single value"},
        BadText{"kind: Route\nname: a\nanonymous: yes\n", "must be true or false, not \"yes\""},
        BadText{"kind: Route\nname: a\nanonymous: \"true\"\n", "must be true or false"},
        BadText{"kind: Route\nname: a\nupstream: u\nfixed_response: {}\n",
                "routes[\"a\"].fixed_response: excludes upstream: give one of them"},
        BadText{"kind: Route\nname: a\nfixed_response: {status: -1}\n", "must be a whole number"},
        BadText{"kind: Route\nname: a\nfixed_response: {status: 4294967296}\n", "at most 32 bits"},
        BadText{"kind: Route\nname: a\nmatch: [1]\n", "must be a map of fields, found a list"},
        BadText{"kind: Route\nname: [a]\n", "routes.name: must be a single value, found a list"},
        BadText{"kind: ServerCertificate\nname: a\nprivate_key_pem: {file: a}\n",
                "must be a single value, found a map of fields; to read it from a file, write private_key_file: PATH"},
        BadText{"kind: Upstream\nname: a\nconnect_timeout: 90\n", "must be a duration such as 5s"},
        BadText{"kind: Upstream\nname: a\nconnect_timeout: inf\n", "must be a duration such as 5s"},
        BadText{"kind: Scheme\nname: a\nclient_certificate: {allowed_certificate_types: CHAINE}\n",
                "no value named \"CHAINE\"; did you mean \"CHAINED\"?"},
        BadText{"kind: UserStore\nname: a\nusers: [{name: x, password: hunter2}]\n",
                "edge.yaml:3: userStores[\"a\"].users[0].password: passwords do not belong in files"},
        BadText{"kind: UserStore\nname: a\nusers: []\n",
                "edge.yaml:3: userStores[\"a\"].users: an empty list would remove nobody"},
        BadText{"kind: UserStore\nname: a\nusers: [{name: x, expire_time: tomorrow}]\n", "must be a time such as"},
        BadText{"kind: TrustStore\nname: a\nanchors: [{file: nowhere.pem}]\n",
                "trustStores[\"a\"].anchors[0].file: conf/nowhere.pem: No such file"},
        BadText{"kind: TrustStore\nname: a\nanchors: [{file: /etc/ca.key}]\n",
                "trustStores[\"a\"].anchors[0].file: /etc/ca.key is a private key, not a certificate"},
        BadText{"kind: TrustStore\nname: a\nanchors: [{file: ca.crl}]\n",
                "ca.crl is a certificate revocation list, not a certificate"},
        BadText{"kind: TrustStore\nname: a\ncrls: [{file: ca.pem}]\n",
                "ca.pem is a certificate, not a certificate revocation list"},
        BadText{"kind: TrustStore\nname: a\nanchors: [{file: notes.txt}]\n", "notes.txt holds no PEM block"},
        BadText{"kind: TrustStore\nname: a\nanchors: [{file: ca.pem, pem: x}]\n", "excludes file"},
        BadText{"kind: TrustStore\nname: a\npins: [{file: ca.pem, spki_sha256: x}]\n", "excludes pem"},
        BadText{"a: [1\n", "edge.yaml:"},
        BadText{"kind: !!binary Route\nname: a\n", "tags have no meaning here"},
        BadText{"kind: Route\nname: a\nmatch: &x {hosts: *x}\n", "edge.yaml:3: "},
        BadText{"? [a]\n: b\n", "a field name must be text"},
        BadText{"just text\n", "expected a resource"},
        BadText{"routes: {name: a}\n", "routes: must be a list"},
        BadText{"kind: Route\nname: a\n\"\\e[31m\": 1\n", "unknown field \"\\x1B[31m\""}));

TEST_F(YamlTest, TellsEveryProblemAtOnce) {
  EXPECT_EQ(Problems("kind: Route\nname: a\nfoo: 1\nbar: 2\nanonymous: 3\n").size(), 3u);
}

TEST_F(YamlTest, NeverRepeatsAPasswordInAProblem) {
  for (const std::string& problem : Problems("kind: UserStore\nname: a\nusers: [{name: x, password: hunter2}]\n")) {
    EXPECT_THAT(problem, testing::Not(HasSubstr("hunter2")));
  }
}

TEST_F(YamlTest, StopsBillionLaughsEarly) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [");
    for (int j = 0; j < 10; ++j) absl::StrAppend(&bomb, j == 0 ? "" : ", ", "*a", i - 1);
    bomb += "]\n";
  }
  EXPECT_THAT(Problems(bomb), ElementsAre(HasSubstr("nodes when aliases are expanded")));
}

TEST_F(YamlTest, TakesAHundredThousandRoutesWithAllTheyMayHave) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) {
    absl::StrAppend(&text, "---\nkind: Route\nname: r", i, "\nlabels: {team: a, set: b, tier: c}\nmatch: {path: /svc/", i,
                    ", hosts: [a.example, b.example], methods: [GET, POST]}\nrequire: {any_of: [Certificate, Basic]}\n"
                    "identity_response: {message: hello}\n");
  }
  EXPECT_EQ(Read(text).routes_size(), 100'000);
}

TEST_F(YamlTest, BoundsDepthWithAndWithoutAliases) {
  for (const char* open : {"[", "{", "[{", "{a: [", "{? [", "? [", "[\n", "&a ["}) {
    std::string text;
    for (int i = 0; i < 50'000; ++i) text += open;
    EXPECT_THAT(Problems(text), ElementsAre(HasSubstr("nested deeper than 64"))) << open;
  }
  EXPECT_THAT(Problems(std::string(70, '[') + std::string(70, ']')), ElementsAre(HasSubstr("nested deeper than 64")));
  std::string ladder = "a0: &a0 [x]\n";
  for (int i = 1; i < 80; ++i) absl::StrAppend(&ladder, "a", i, ": &a", i, " [*a", i - 1, "]\n");
  EXPECT_THAT(Problems(ladder), ElementsAre(HasSubstr("when aliases are expanded")));
}

TEST_F(YamlTest, BracketsInTextAreNoNesting) {
  std::string text;
  for (int i = 0; i < 600; ++i) absl::StrAppend(&text, "---\n{kind: Policy, name: p", i, ", condition: {claim: {type: t, regex: \"[^[]+\"}}}\n");
  EXPECT_EQ(Read(text).policies_size(), 600);
}

TEST_F(YamlTest, BoundsBlockNesting) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "- ";
  EXPECT_THAT(Problems(text + "x\n"), ElementsAre(HasSubstr("edge.yaml")));
}

TEST_F(YamlTest, BoundsTextAndProblems) {
  EXPECT_THAT(Problems("kind: Route\n", {.max_text_bytes = 4}), ElementsAre(HasSubstr("more than 4 bytes")));
  std::string text = "kind: Route\nname: a\n";
  for (int i = 0; i < 500; ++i) absl::StrAppend(&text, "unknown", i, ": 1\n");
  EXPECT_EQ(Problems(text).size(), 101u);
}

TEST_F(YamlTest, FindsThePlaceOfAServersViolation) {
  Reader reader = NewReader();
  reader.Read("kind: Route\nname: a\n---\nkind: Route\nname: b\n", "x.yaml", "");
  const Place* place = reader.PlaceOf("routes[\"b\"].require.any_of[1]");
  ASSERT_NE(place, nullptr);
  EXPECT_EQ(place->ToString(), "x.yaml:4");
  EXPECT_EQ(reader.PlaceOf("routes[\"c\"]"), nullptr);
}

TEST_F(YamlTest, ReadsWhatItWrites) {
  v1::ConfigSet set = Read(R"(
- kind: TrustStore
  name: partners
  anchors: [{file: ca.pem}, {pem: "no newline"}]
- kind: Scheme
  name: Certificate
  client_certificate: {trust_store: partners, clock_skew: 1h2m3.5s, validate_validity_period: false,
    require: {subject: [{attribute: CN, value: {regex: "a.*"}}], min_key_bits: 256}}
- kind: Policy
  name: p
  condition: {all_of: [{claim: {type: "007", exact: ""}}, {any_of: [{claim: {type: "true", suffix: "a: b # c"}}]}]}
- kind: Route
  name: "null"
  match: {hosts: ["*.example"], path: "/{x}/\u2028\e[31m ü 😀 'quoted' \"q\" \\n\n\n  tail "}
  anonymous: true
  fixed_response: {body: "one\ntwo\n", status: 418}
  labels: {"1": "~", b: "- x", c: "[", d: "yes", e: " lead", f: "\t", g: "a\r\nb"}
- kind: Route
  name: empty
  identity_response: {}
- kind: UserStore
  name: staff
  users: [{name: alice, expire_time: "2027-01-31T12:00:00.25Z"}]
)");
  EXPECT_TRUE(Same(set, Read(ToYaml(set)))) << ToYaml(set);
  std::string json;
  for (const v1::Resource& resource : Split(set)) json += ToJson(resource, true) + "\n---\n";
  EXPECT_TRUE(Same(set, Read(json))) << json;
  EXPECT_EQ(ToYaml(set), ToYaml(Read(ToYaml(set))));
}

TEST_F(YamlTest, ReadsListsOfNumbers) {
  const v1::ConfigSet set = Read("{kind: Upstream, name: u, health_check: {statuses: [200, 204]}}");
  EXPECT_THAT(set.upstreams(0).health_check().statuses(), ElementsAre(200, 204));
}

// They are valid UTF-8, and the server takes them.
TEST_F(YamlTest, ReadsNoncharactersThatItWrites) {
  v1::ConfigSet set;
  set.add_routes()->set_name("a");
  set.mutable_routes(0)->mutable_fixed_response()->set_body("\xef\xbf\xbe \"\\ \xef\xb7\x90\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\n\x1bü");
  (*set.mutable_routes(0)->mutable_labels())["\xef\xbf\xbf"] = "- \xef\xbf\xbf: #";
  EXPECT_TRUE(Same(set, Read(ToYaml(set)))) << ToYaml(set);
}

TEST_F(YamlTest, LeavesOutEtags) {
  v1::Resource resource;
  resource.mutable_route()->set_name("a");
  resource.mutable_route()->set_etag("123");
  EXPECT_EQ(ToYaml(resource), "kind: Route\nname: a\n");
  EXPECT_EQ(ToJson(resource, false), "{\"kind\":\"Route\",\"name\":\"a\"}");
}

TEST(KindsTest, TakesKindsInAnySpelling) {
  for (const char* text : {"TrustStore", "trust-store", "trust-stores", "trust_stores", "trustStores", "TRUSTSTORE"}) {
    EXPECT_EQ(ParseKind(text), v1::TRUST_STORE) << text;
  }
  EXPECT_EQ(ParseKind("policies"), v1::POLICY);
  EXPECT_EQ(ParseKind("truststoress"), std::nullopt);
}

TEST(KindsTest, SuggestsOnlyWhatIsNear) {
  EXPECT_EQ(Closest("Basci", {"Basic", "Certificate"}), "Basic");
  EXPECT_EQ(Closest("zzzzz", {"Basic", "Certificate"}), "");
}

TEST(WriterTest, PoliciesAreReadBackAsTheyWereWritten) {
  const std::string text = R"(kind: Policy
name: staff
condition:
  all_of:
    - claim:
        type: group
        scheme: Basic
        one_of:
          - buyers
          - staff
        ignore_case: true
        values: ALL
    - claim:
        type: dns
        matches:
          - suffix: .example
          - regex: a[0-9]
    - certificate:
        scheme: Certificate
        match:
          subject:
            - attribute: OU
              value:
                exact: Billing
        serial_numbers:
          - "0A:1B"
        key_types:
          - EC
        valid_for: 720h
        extended_key_usages:
          - clientAuth
    - any_of:
        - address:
            ranges:
              - 10.0.0.0/8
        - policy: office-hours
        - time:
            days:
              - MONDAY
              - FRIDAY
            from: 08:00
            to: "17:30"
            time_zone: Europe/Berlin
            not_before: 2026-01-01T00:00:00Z
)";
  Reader reader;
  reader.Read(text, "p.yaml", "");
  ASSERT_THAT(reader.problems(), IsEmpty()) << reader.problems()[0].message;
  const v1::Policy& policy = reader.set().policies(0);
  const v1::Conditions& all = policy.condition().all_of();
  EXPECT_EQ(all.conditions(0).claim().one_of_size(), 2);
  EXPECT_EQ(all.conditions(0).claim().values(), v1::ClaimClause::ALL);
  EXPECT_EQ(all.conditions(1).claim().matches(1).regex(), "a[0-9]");
  EXPECT_EQ(all.conditions(2).certificate().valid_for().seconds(), 720 * 3600);
  EXPECT_EQ(all.conditions(3).any_of().conditions(1).policy(), "office-hours");
  EXPECT_EQ(all.conditions(3).any_of().conditions(2).time().from(), "08:00");
  EXPECT_EQ(all.conditions(3).any_of().conditions(2).time().days(1), v1::TimeClause::FRIDAY);

  v1::Resource resource;
  *resource.mutable_policy() = policy;
  Reader again;
  again.Read(ToYaml(resource), "again.yaml", "");
  ASSERT_THAT(again.problems(), IsEmpty()) << ToYaml(resource);
  EXPECT_EQ(again.set().policies(0).SerializeAsString(), policy.SerializeAsString());
}

}  // namespace
}  // namespace gatehouse::client
