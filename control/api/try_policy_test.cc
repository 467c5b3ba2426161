// PolicyService.TestPolicy on a stored configuration.
#include "control/api/try_policy.h"

#include "control/validate/validate.h"
#include "gateway/base/digest.h"
#include "gateway/certs/mint.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'767'776'400);  // 2026-01-07T09:00:00Z, a Wednesday

class TryPolicyTest : public ::testing::Test {
 protected:
  TryPolicyTest() {
    state_.revision = 9;
    Store(R"(scheme { name: "Cert" client_certificate { name_format: DOTNET } })");
    Store(R"(policy { name: "group" condition { claim { type: "group" scheme: "Basic" exact: "staff" } } })");
    Store(R"(policy { name: "outer" condition { all_of { conditions { policy: "group" } conditions { address { ranges: "10.0.0.0/8" } } } } })");
    Store(R"(scheme { name: "Basic" basic { user_store: "staff" } })");
  }
  void Store(const std::string& text) {
    auto resource = std::make_shared<v1::Resource>();
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, resource.get())) << text;
    state_.resources[store::KeyOf(*resource)] = resource;
  }
  absl::StatusOr<v1::TestPolicyResponse> Try(const std::string& text) const {
    v1::TestPolicyRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
    return TryPolicy(state_, request, kNow);
  }
  v1::PolicyOutcome Outcome(const std::string& text) const {
    absl::StatusOr<v1::TestPolicyResponse> response = Try(text);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->verdict().outcome() : v1::POLICY_OUTCOME_UNSPECIFIED;
  }

  store::State state_;
};

constexpr char kStaff[] = R"(claims { type: "group" value: "staff" scheme: "Basic" issuer: "staff" })";

TEST_F(TryPolicyTest, JudgesAStoredPolicyWithWhatItRefersTo) {
  EXPECT_EQ(Outcome(absl::StrCat(R"(policy: "outer" address: "10.1.2.3" )", kStaff)), v1::MET);
  EXPECT_EQ(Outcome(absl::StrCat(R"(policy: "outer" address: "192.0.2.1" )", kStaff)), v1::NOT_MET);
  EXPECT_EQ(Outcome(absl::StrCat(R"(policy: "outer" )", kStaff)), v1::UNKNOWN) << "the address was not given";
  EXPECT_EQ(Outcome(R"(policy: "outer")"), v1::NOT_MET);
  const v1::TestPolicyResponse response = *Try(absl::StrCat(R"(policy: "outer" address: "10.1.2.3" )", kStaff));
  EXPECT_EQ(response.revision(), 9u);
  ASSERT_EQ(response.verdict().steps_size(), 4);
  EXPECT_EQ(response.verdict().steps(2).policy(), "group");
  EXPECT_EQ(response.verdict().steps(2).evidence(), "\"staff\"");
}

TEST_F(TryPolicyTest, TakesPoliciesThatAreNotStoredAlsoWhereStoredOnesReferToThem) {
  const std::string other = R"(policies { name: "group" condition { claim { type: "group" scheme: "Basic" exact: "other" } } } )";
  EXPECT_EQ(Outcome(absl::StrCat(other, R"(policy: "outer" address: "10.1.2.3" )", kStaff)), v1::NOT_MET);
  const std::string night = R"(policies { name: "night" condition { time { from: "22:00" to: "06:00" } } } policy: "night" )";
  EXPECT_EQ(Outcome(night), v1::NOT_MET);
  EXPECT_EQ(Outcome(night + "at { seconds: 1767826800 }"), v1::MET) << "23:00";
}

TEST_F(TryPolicyTest, TakesACertificateAsItsSchemeWould) {
  UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
  certs::MintRequest mint{.subject = "CN=alice,O=Example"};
  mint.not_before = kNow - absl::Hours(1), mint.not_after = kNow + absl::Hours(24);
  v1::TestPolicyRequest request;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(policy: "p" policies { name: "p" condition { all_of {
    conditions { certificate { scheme: "Cert" key_types: EC valid_for { seconds: 3600 } } }
    conditions { claim { type: "name" scheme: "Cert" exact: "CN=alice, O=Example" } } } } })", &request));
  request.set_certificate_pem((*certs::Mint(mint, key.get(), std::nullopt))->ToPem());
  EXPECT_EQ(TryPolicy(state_, request, kNow)->verdict().outcome(), v1::MET);
  request.set_certificate_scheme("Other");
  EXPECT_EQ(TryPolicy(state_, request, kNow)->verdict().outcome(), v1::NOT_MET);
  request.set_certificate_pem("no certificate");
  EXPECT_THAT(std::string(TryPolicy(state_, request, kNow).status().message()), HasSubstr("certificate_pem: "));
}

// Its holder writes into it what he likes; a live request is not let in by it either.
TEST_F(TryPolicyTest, BelievesNoNameInACertificateWhoseKeyAloneIsPinned) {
  UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
  certs::MintRequest mint{.subject = "CN=alice"};
  mint.not_before = kNow - absl::Hours(1), mint.not_after = kNow + absl::Hours(24);
  const certs::CertificateRef alice = *certs::Mint(mint, key.get(), std::nullopt);
  Store(R"(scheme { name: "Cert" client_certificate { trust_store: "devices" } })");
  const std::string pins = absl::StrCat(R"(trust_store { name: "devices" pins { spki_sha256: ")",
                                        HexLower(AsView(alice->spki_sha256())), R"(" })");
  v1::TestPolicyRequest request;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(policy: "p" policies { name: "p" condition { any_of {
    conditions { certificate { match { subject { attribute: "CN" value { exact: "alice" } } } } }
    conditions { claim { type: "name" scheme: "Cert" exact: "CN=alice" } } } } })", &request));
  request.set_certificate_pem(alice->ToPem());
  Store(pins + "}");
  EXPECT_EQ(TryPolicy(state_, request, kNow)->verdict().outcome(), v1::UNKNOWN);
  Store(absl::StrCat(pins, R"( pins { certificate_sha256: ")", HexLower(AsView(alice->sha256())), R"(" } })"));
  EXPECT_EQ(TryPolicy(state_, request, kNow)->verdict().outcome(), v1::MET) << "it is pinned itself";
}

TEST_F(TryPolicyTest, NamesWhatIsWrong) {
  EXPECT_EQ(Try("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Try(R"(policy: "oter")").status().message()), HasSubstr(R"(did you mean "outer"?)"));
  EXPECT_EQ(Try(R"(policy: "oter")").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Try(R"(policy: "outer" address: "here")").status().message()), HasSubstr("address: "));
  EXPECT_THAT(std::string(Try(R"(policy: "outer" claims { value: "x" })").status().message()), HasSubstr("claims[0].type"));
  const absl::Status cycle = Try(R"(policy: "outer" policies { name: "group" condition { policy: "outer" } })").status();
  ASSERT_EQ(validate::ViolationsOf(cycle).size(), 1u) << cycle;
  EXPECT_THAT(validate::ViolationsOf(cycle)[0].message(), HasSubstr("refers to itself"));
  EXPECT_EQ(validate::ViolationsOf(Try(R"(policy: "n" policies { name: "n" condition { policy: "group" } }
                                          policies { name: "n" condition { policy: "group" } })").status()).size(), 1u)
      << "twice";
}

// A viewer's question runs on a thread that others wait for.
TEST_F(TryPolicyTest, WhatWouldTakeMinutesIsRefusedAtOnce) {
  v1::TestPolicyRequest request;
  request.set_policy("wide");
  v1::Policy& slow = *request.add_policies();
  slow.set_name("slow");
  v1::ClaimClause& clause = *slow.mutable_condition()->mutable_claim();
  clause.set_type("a");
  for (int i = 0; i < 64; ++i) clause.add_matches()->set_regex("(?:a|b|ab|\\pL)*[0-9]");
  v1::Policy& wide = *request.add_policies();
  wide.set_name("wide");
  for (int i = 0; i < 900; ++i) wide.mutable_condition()->mutable_any_of()->add_conditions()->set_policy("slow");
  for (int i = 0; i < 50; ++i) {
    v1::TestClaim& claim = *request.add_claims();
    claim.set_type("a");
    claim.set_value(std::string(60'000, 'a'));
  }
  EXPECT_THAT(std::string(TryPolicy(state_, request, kNow).status().message()), HasSubstr("claims: "));
  request.mutable_claims()->DeleteSubrange(1, 49);
  request.mutable_claims(0)->set_value("a");
  EXPECT_TRUE(TryPolicy(state_, request, kNow).ok());
}

// Each may take as much memory and time to compile as RE2 gives it.
TEST_F(TryPolicyTest, BringsABoundedNumberOfRegularExpressions) {
  v1::TestPolicyRequest request;
  request.set_policy("p0");
  for (int i = 0; i < 40; ++i) {
    v1::Policy& policy = *request.add_policies();
    policy.set_name(absl::StrCat("p", i));
    v1::Condition& of = *policy.mutable_condition()->mutable_any_of()->add_conditions();
    of.mutable_claim()->set_type("a");
    for (int k = 0; k < 64; ++k) of.mutable_claim()->add_matches()->set_regex("\\pL{80}");
  }
  const absl::Status status = TryPolicy(state_, request, kNow).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("policies: at most 200 regular expressions"));
}

}  // namespace
}  // namespace gatehouse::api
