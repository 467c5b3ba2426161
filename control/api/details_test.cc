// Lines that tell a person what changed.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/api/resource_fields.h"
#include "gateway/base/escape.h"
#include "gateway/certs/mint.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

v1::Resource Parse(const std::string& text) {
  v1::Resource resource;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &resource)) << text;
  return resource;
}
std::vector<std::string> Compare(const std::string& before, const std::string& after) {
  const v1::Resource old = Parse(before);
  return Details(&old, Parse(after), kNow);
}
std::string MintPem(const std::string& subject, int days) {
  UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
  certs::MintRequest request;
  request.profile = certs::Profile::kCa;
  request.subject = subject;
  request.not_before = kNow - absl::Hours(48);
  request.not_after = kNow + absl::Hours(24 * days + 1);
  return (*certs::Mint(request, key.get()))->ToPem();
}

TEST(DetailsTest, CertificatesAreNamedWithTheirExpiry) {
  v1::Resource before = Parse("trust_store {name: 't'}"), after = before;
  before.mutable_trust_store()->add_anchors()->set_pem(MintPem("CN=Old", -1));
  *after.mutable_trust_store()->add_anchors() = before.trust_store().anchors(0);
  after.mutable_trust_store()->add_anchors()->set_pem(MintPem("CN=Partners Root 2027", 1820));

  EXPECT_THAT(Details(&before, after, kNow),
              ElementsAre("anchors: +1 (CN=Partners Root 2027, expires in 1,820 d) -0"));
  EXPECT_THAT(Details(&after, before, kNow),
              ElementsAre("anchors: +0 -1 (CN=Partners Root 2027, expires in 1,820 d)"));
  EXPECT_THAT(Details(nullptr, before, kNow), ElementsAre("anchors: +1 (CN=Old, expired) -0"));
}

TEST(DetailsTest, ScalarsMessagesAndListsAreTold) {
  EXPECT_THAT(Compare("scheme {name: 's' client_certificate {trust_store: 'a' min_rsa_bits: 2048}}",
                      "scheme {name: 's' client_certificate {trust_store: 'b' min_rsa_bits: 3072"
                      " validate_certificate_use: false allowed_certificate_types: CHAINED clock_skew {seconds: 90}}}"),
              ElementsAre("client_certificate.trust_store: \"a\" -> \"b\"",
                          "client_certificate.allowed_certificate_types: CERTIFICATE_TYPES_UNSPECIFIED -> CHAINED",
                          "client_certificate.validate_certificate_use: unset -> false",
                          "client_certificate.clock_skew: unset -> 1m30s",
                          "client_certificate.min_rsa_bits: 2048 -> 3072"));
  EXPECT_THAT(Compare("route {name: 'r' require {any_of: 'A' any_of: 'B'}}", "route {name: 'r' require {any_of: 'B' any_of: 'A'}}"),
              ElementsAre("require.any_of: reordered"));
  EXPECT_THAT(Compare("route {name: 'r' labels {key: 'a' value: '1'}}", "route {name: 'r' labels {key: 'a' value: '2'}}"),
              ElementsAre("labels: +0 -0 ~1 (a)"));
  EXPECT_THAT(Compare("route {name: 'r' identity_response {}}", "route {name: 'r' upstream: 'u'}"),
              ElementsAre("identity_response: removed", "upstream: unset -> \"u\""));
}

TEST(DetailsTest, ListsOfNumbersAreCompared) {
  EXPECT_THAT(Compare("upstream {name: 'u' health_check {statuses: 200}}",
                      "upstream {name: 'u' health_check {statuses: 200 statuses: 204} ejection {off: true} retries {attempts: 3}}"),
              ElementsAre("health_check.statuses: +1 (204) -0", "ejection.off: false -> true", "retries.attempts: 0 -> 3"));
}

TEST(DetailsTest, SecretsAreNeverShown) {
  EXPECT_THAT(Compare("server_certificate {name: 'c' private_key_pem: 'OLD'}",
                      "server_certificate {name: 'c' private_key_pem: 'NEW'}"),
              ElementsAre("private_key_pem: changed (secret)"));
  EXPECT_THAT(Compare("user_store {name: 's' users {name: 'a' password_hashes: 'OLD'}}",
                      "user_store {name: 's' users {name: 'a' password_hashes: 'NEW'} users {name: 'b'}}"),
              ElementsAre("users: +1 (b) -0 ~1 (a)"));
}

TEST(DetailsTest, ConditionsAreNamedByWhatTheyAskAndListsAsPeopleWriteThem) {
  EXPECT_THAT(Compare("policy {name: 'p' condition {all_of {conditions {claim {type: 'g' exact: 'a'}} conditions {policy: 'q'}}}}",
                      "policy {name: 'p' condition {all_of {conditions {claim {type: 'g' exact: 'a'}} conditions {policy: 'r'} "
                      "conditions {time {from: '08:00' to: '09:00'}}}}}"),
              ElementsAre("condition.all_of: +2 (policy r, time) -1 (policy q)"));
  EXPECT_THAT(Compare("policy {name: 'p' condition {time {from: '08:00' to: '09:00'}}}",
                      "policy {name: 'p' condition {time {from: '08:00' to: '10:00' days: MONDAY}}}"),
              UnorderedElementsAre("condition.time.days: +1 (MONDAY) -0", "condition.time.to: \"09:00\" -> \"10:00\""));
}

TEST(DetailsTest, NothingIsSaidOfWhatIsTheSame) {
  EXPECT_THAT(Compare("route {name: 'r' etag: 'x'}", "route {name: 'r' etag: 'y'}"), IsEmpty());
}

TEST(DetailsTest, HostileTextIsEscapedAndLongOnesAreCut) {
  const auto lines = Compare("policy {name: 'p'}", "policy {name: 'p' public_message: '\\033[31m\\n" + std::string(500, 'x') + "'}");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].find('\033'), std::string::npos);
  EXPECT_EQ(lines[0].find('\n'), std::string::npos);
  EXPECT_LT(lines[0].size(), 120u);
}

TEST(DetailsTest, WhatIsCutEndsWithAWholeCharacter) {
  for (size_t before = 0; before < 4; ++before) {
    std::string realm(before, 'a');
    for (int i = 0; i < 40; ++i) realm += "\u20ac";
    const auto lines = Compare("scheme {name: 's' basic {realm: 'old'}}", absl::StrCat("scheme {name: 's' basic {realm: '", realm, "'}}"));
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(IsValidUtf8(lines[0])) << lines[0];
    EXPECT_TRUE(absl::EndsWith(lines[0], "\u20ac...\"")) << lines[0];
  }
}

TEST(DetailsTest, ManyNamesAreCountedAndAFewShown) {
  std::string after = "upstream {name: 'u'";
  for (int i = 0; i < 1200; ++i) absl::StrAppend(&after, " endpoints: 'h", i, ":1'");
  const auto lines = Compare("upstream {name: 'u'}", after + "}");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].substr(0, 18), "endpoints: +1,200 ");
  EXPECT_EQ(lines[0].substr(lines[0].size() - 9), ", ...) -0");
}

}  // namespace
}  // namespace gatehouse::api
