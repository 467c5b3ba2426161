#include "gateway/server/explain.h"

#include "absl/strings/str_replace.h"
#include "gateway/base/digest.h"
#include "gateway/certs/mint.h"
#include "gateway/config/build.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kHash[] =
    "$6$rounds=5000$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1";

class ExplainTest : public ::testing::Test {
 protected:
  ExplainTest() {
    ca_ = Mint("CN=Root", certs::Profile::kCa, *ca_key_);
    leaf_ = Mint("CN=alice", certs::Profile::kLeaf, *leaf_key_, certs::Signer{ca_.get(), ca_key_.get()});
    stranger_ = Mint("CN=mallory", certs::Profile::kSelfSigned, *leaf_key_);
    certs::CertificateRef server = Mint("CN=localhost", certs::Profile::kSelfSigned, *server_key_);
    v1::ConfigSet set;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(absl::StrReplaceAll(R"pb(
      listeners { name: "edge" address: "127.0.0.1:0" server_certificates: "localhost" }
      server_certificates { name: "localhost" }
      trust_stores { name: "partners" }
      schemes { name: "Certificate" client_certificate { trust_store: "partners" } }
      schemes { name: "Basic" basic { user_store: "staff" } }
      schemes { name: "Own" basic { validator {
        endpoints: "127.0.0.1:9000" endpoints: "unix:/run/v" allow_plaintext: true send: ROUTE send: PATH
        max_lifetime { seconds: 90 } } } }
      routes { name: "own" match { path: "/own" } require { all_of: "Own" all_of: "Certificate" } identity_response {} }
      user_stores { name: "staff"
        users { name: "ann" password_hashes: "@hash@" claims { type: "group" value: "staff" } }
        users { name: "off" password_hashes: "@hash@" disabled: true }
        users { name: "old" password_hashes: "@hash@" expire_time { seconds: 1800000000 } } }
      user_stores { name: "others" users { name: "ann" password_hashes: "@hash@" } }
      schemes { name: "Others" basic { user_store: "others" } in_any_scheme: false }
      policies { name: "staff" condition { claim { type: "group" scheme: "Basic" exact: "staff" } } }
      policies { name: "inside" condition { all_of { conditions { address { ranges: "10.0.0.0/8" } }
        conditions { time { not_after { seconds: 1800000100 } } } } } }
      routes { name: "desk" match { path: "/d" } require { any_of: "Others" any_of: "Basic" policies: "staff" policies: "inside" }
        identity_response {} }
      routes { name: "cert" match { path: "/c" } require { any_of: "Certificate" } identity_response {} }
      routes { name: "either" match { path: "/e" } require { any_of: "Basic" any_of: "Certificate" } identity_response {} }
      routes { name: "both" match { path: "/b" } require { all_of: "Certificate" all_of: "Basic" } identity_response {} }
      routes { name: "open" match { path: "/o" } anonymous: true identity_response {} }
    )pb", {{"@hash@", kHash}}), &set));
    set.mutable_trust_stores(0)->add_anchors()->set_pem(ca_->ToPem());
    set.mutable_server_certificates(0)->set_certificate_chain_pem(server->ToPem());
    set.mutable_server_certificates(0)->set_private_key_pem(
        std::string(certs::KeyToPem(server_key_.get())->Reveal()));
    config::BuildResult built = config::Build(set, {.revision = 7});
    for (const config::Violation& v : built.violations) ADD_FAILURE() << v.path << ": " << v.message;
    snapshot_ = built.snapshot;
  }

  static UniqueKey Key() { return *certs::MintKey(certs::KeyType::kP256); }
  certs::CertificateRef Mint(const std::string& subject, certs::Profile profile, EVP_PKEY& key,
                             std::optional<certs::Signer> signer = std::nullopt) {
    certs::MintRequest request;
    request.profile = profile;
    request.subject = subject;
    request.sans.push_back({certs::SanKind::kDns, "localhost"});
    request.server_use = true;
    request.not_before = now_ - absl::Hours(1);
    request.not_after = now_ + absl::Hours(24);
    auto certificate = certs::Mint(request, &key, signer);
    EXPECT_TRUE(certificate.ok()) << certificate.status();
    return *certificate;
  }
  absl::StatusOr<v1::ExplainResponse> Ask(const certs::CertificateRef& leaf, const std::string& scheme = "",
                                          const std::string& route = "") {
    v1::ExplainRequest request;
    request.set_chain_pem(leaf->ToPem());
    if (!scheme.empty()) request.set_scheme(scheme);
    if (!route.empty()) request.set_route(route);
    return Explain(*snapshot_, request, now_);
  }

  // What ann, or another, gets on a route.
  v1::AccessVerdict Access(const std::string& user, const std::string& route, const std::string& address = "", int64_t at = 0,
                           const certs::CertificateRef& leaf = nullptr) {
    v1::ExplainRequest request;
    request.set_user_store("staff");
    request.set_user(user);
    request.set_route(route);
    request.set_address(address);
    if (at != 0) request.mutable_at()->set_seconds(at);
    if (leaf != nullptr) request.set_chain_pem(leaf->ToPem());
    auto answer = Explain(*snapshot_, request, now_);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->access() : v1::AccessVerdict();
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  UniqueKey ca_key_ = Key();
  UniqueKey leaf_key_ = Key();
  UniqueKey server_key_ = Key();
  certs::CertificateRef ca_, leaf_, stranger_;
  config::SnapshotRef snapshot_;
};

TEST_F(ExplainTest, AGoodCertificateIsAcceptedWithItsPathClaimsAndRoutes) {
  auto answer = Ask(leaf_);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->certificate().subject(), "CN=alice");
  EXPECT_EQ(answer->certificate().sha256(), HexLower(AsView(leaf_->sha256())));
  EXPECT_EQ(answer->revision(), 7u);
  ASSERT_THAT(answer->verdicts(), SizeIs(1));
  const v1::SchemeVerdict& verdict = answer->verdicts(0);
  EXPECT_TRUE(verdict.accepted());
  EXPECT_EQ(verdict.reason(), v1::REASON_UNSPECIFIED);
  EXPECT_THAT(verdict.path(), ElementsAre("CN=alice", "CN=Root"));
  EXPECT_GT(verdict.claims_size(), 4);
  EXPECT_GT(verdict.steps_size(), 2);
  EXPECT_THAT(answer->opens(), ElementsAre("cert", "either")) << "not what wants a password too, nor what is open anyway";
}

TEST_F(ExplainTest, ARefusedCertificateComesWithItsReasonAndOpensNothing) {
  auto answer = Ask(stranger_, "Certificate");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->verdicts(0).accepted());
  EXPECT_EQ(answer->verdicts(0).reason(), v1::NOT_PINNED);
  EXPECT_THAT(answer->verdicts(0).claims(), IsEmpty());
  EXPECT_THAT(answer->opens(), IsEmpty());
}

// Whoever sends so much is refused in the handshake: that the chain is good otherwise would be no answer.
TEST_F(ExplainTest, AChainThatNoHandshakeTakesIsNotCalledGood) {
  certs::MintRequest mint;
  mint.profile = certs::Profile::kLeaf;
  mint.subject = "CN=alice";
  mint.not_before = now_ - absl::Hours(1), mint.not_after = now_ + absl::Hours(24);
  const auto with = [&](size_t octets) {
    mint.extensions = {{"1.2.3.4", false, std::string(octets, 'x')}};
    return *certs::Mint(mint, leaf_key_.get(), certs::Signer{ca_.get(), ca_key_.get()});
  };
  const certs::CertificateRef most = with(31'000), over = with(33'000);
  ASSERT_TRUE(Ask(most).ok());
  EXPECT_TRUE(Ask(most)->verdicts(0).accepted());
  EXPECT_THAT(std::string(Ask(over).status().message()), HasSubstr("refused in the handshake"));
}

TEST_F(ExplainTest, ItCanBeAskedForAnotherTime) {
  v1::ExplainRequest request;
  request.set_chain_pem(leaf_->ToPem());
  request.mutable_at()->set_seconds(absl::ToUnixSeconds(now_ + absl::Hours(48)));
  auto answer = Explain(*snapshot_, request, now_);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->verdicts(0).reason(), v1::EXPIRED);
}

TEST_F(ExplainTest, ByRouteItAsksItsSchemesAndNamesTheOthers) {
  auto answer = Ask(leaf_, "", "either");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->verdicts(), SizeIs(1));
  EXPECT_THAT(answer->other_schemes(), ElementsAre("Basic"));
}

TEST_F(ExplainTest, WhatDoesNotExistOrIsNoCertificateIsSaid) {
  EXPECT_EQ(Ask(leaf_, "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Ask(leaf_, "Basic").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask(leaf_, "", "none").status().code(), absl::StatusCode::kNotFound);
  v1::ExplainRequest request;
  request.set_chain_pem("no pem");
  EXPECT_EQ(Explain(*snapshot_, request, now_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ExplainTest, AMisspeltNameGetsTheNearestOne) {
  EXPECT_EQ(Ask(leaf_, "Certifcate").status().message(),
            "scheme: there is no \"Certifcate\"; did you mean \"Certificate\"?");
  EXPECT_EQ(Ask(leaf_, "", "eiter").status().message(), "route: there is no \"eiter\"; did you mean \"either\"?");
  EXPECT_EQ(Ask(leaf_, "", "zzzzzz").status().message(), "route: there is no \"zzzzzz\"") << "nothing is near";
}

TEST_F(ExplainTest, EveryCandidatePathIsShown) {
  auto answer = Ask(leaf_);
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_THAT(answer->verdicts(0).candidates(), SizeIs(1));
  EXPECT_THAT(answer->verdicts(0).candidates(0).subjects(), ElementsAre("CN=alice", "CN=Root"));
  EXPECT_EQ(answer->verdicts(0).trust_store(), "partners");
  EXPECT_THAT(answer->presented(), SizeIs(1));
}

TEST_F(ExplainTest, WithoutAChainItTellsHowARouteOrAListenerAsks) {
  v1::ExplainRequest request;
  request.set_route("cert");
  auto answer = Explain(*snapshot_, request, now_);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->verdicts(), IsEmpty());
  ASSERT_THAT(answer->asks(), SizeIs(2)) << "the name of the certificate, and any other";
  const v1::AskedName& any = answer->asks(0);
  EXPECT_EQ(any.listener(), "edge");
  EXPECT_EQ(any.client_certificate(), v1::Listener::ALLOW);
  EXPECT_THAT(any.ca_hints(), ElementsAre("CN=Root"));
  EXPECT_THAT(any.schemes(), ElementsAre("Certificate"));
  EXPECT_FALSE(any.hinted()) << "there is no chain that could be";
  EXPECT_EQ(answer->asks(1).server_name(), "localhost");

  request.set_listener("edge");
  request.set_chain_pem(leaf_->ToPem());
  answer = Explain(*snapshot_, request, now_);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->asks(0).hinted());
  EXPECT_TRUE(answer->verdicts(0).accepted());
  request.set_chain_pem(stranger_->ToPem());
  EXPECT_FALSE(Explain(*snapshot_, request, now_)->asks(0).hinted());
  request.set_listener("egde");
  EXPECT_EQ(Explain(*snapshot_, request, now_).status().message(),
            "listener: there is no \"egde\"; did you mean \"edge\"?");
}

TEST_F(ExplainTest, WhatWasPresentedAndRefusedIsFoundByItsLeaf) {
  PresentedChains presented;
  presented.Remember(stranger_->sha256(), {stranger_}, PresentedChains::As::kRefused);
  v1::ExplainRequest request;
  request.set_leaf_sha256(HexLower(AsView(stranger_->sha256())));
  auto answer = Explain(*snapshot_, request, now_, {&presented});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->certificate().subject(), "CN=mallory");
  EXPECT_EQ(answer->verdicts(0).reason(), v1::NOT_PINNED);
  request.set_leaf_sha256(HexLower(AsView(leaf_->sha256())));
  EXPECT_EQ(Explain(*snapshot_, request, now_, {&presented}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Explain(*snapshot_, request, now_).status().code(), absl::StatusCode::kNotFound);
  request.set_leaf_sha256("xyz");
  EXPECT_EQ(Explain(*snapshot_, request, now_, {&presented}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ExplainTest, TellsWhomASchemeThatAServiceDecidesWouldAskAndAsksNobody) {
  v1::ExplainRequest request;
  request.set_scheme("Own");
  absl::StatusOr<v1::ExplainResponse> response = Explain(*snapshot_, request, now_);
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_THAT(response->delegated(), SizeIs(1));
  const v1::DelegatedScheme& own = response->delegated(0);
  EXPECT_EQ(own.scheme(), "Own");
  ASSERT_THAT(own.endpoints(), SizeIs(2));
  EXPECT_EQ(own.endpoints(1).endpoint(), "unix:/run/v");
  EXPECT_EQ(own.endpoints(0).state(), "not in use");
  EXPECT_EQ(own.transport(), "none: loopback or Unix socket only");
  EXPECT_EQ(own.deadline().seconds(), 2);
  EXPECT_EQ(own.max_lifetime().seconds(), 90);
  EXPECT_THAT(own.sent(), ElementsAre("PATH", "ROUTE"));
  request.set_route("own");
  EXPECT_THAT(Explain(*snapshot_, request, now_)->delegated(), SizeIs(1));
  request.set_scheme("Basic");
  EXPECT_EQ(Explain(*snapshot_, request, now_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ExplainTest, AUserIsToldWhatTheRightPasswordWouldGet) {
  v1::AccessVerdict access = Access("ann", "desk", "10.1.2.3");
  EXPECT_EQ(access.status(), 200u);
  EXPECT_TRUE(access.if_password_right());
  EXPECT_EQ(access.principal(), "ann");
  EXPECT_EQ(access.require(), "any_of");
  ASSERT_EQ(access.schemes_size(), 2);
  EXPECT_EQ(access.schemes(0).reason(), v1::WRONG_PASSWORD) << "another ann, in another store";
  EXPECT_TRUE(access.schemes(1).accepted());
  ASSERT_EQ(access.policies_size(), 2);
  EXPECT_EQ(access.policies(1).outcome(), v1::MET);
  EXPECT_EQ(access.policies(1).steps_size(), 3);

  access = Access("ann", "desk", "192.0.2.1");
  EXPECT_EQ(access.status(), 403u);
  EXPECT_EQ(access.reason(), v1::POLICY_NOT_MET);
  EXPECT_EQ(access.policies(0).outcome(), v1::MET);
  EXPECT_EQ(access.policies(1).steps(1).evidence(), "192.0.2.1");
  EXPECT_EQ(Access("ann", "desk", "10.1.2.3", 1'800'000'101).status(), 403u) << "later";
  EXPECT_EQ(Access("ann", "desk").policies(1).outcome(), v1::UNKNOWN) << "from nowhere";
}

TEST_F(ExplainTest, AUserWhoCannotComeInIsToldWhy) {
  EXPECT_EQ(Access("eve", "desk").status(), 401u);
  EXPECT_EQ(Access("eve", "desk").schemes(1).reason(), v1::UNKNOWN_USER);
  EXPECT_THAT(Access("eve", "desk").policies(), IsEmpty()) << "nobody is judged by policies who is not known";
  EXPECT_EQ(Access("off", "desk").schemes(1).reason(), v1::USER_DISABLED);
  EXPECT_EQ(Access("old", "desk").schemes(1).reason(), v1::USER_DISABLED);
  EXPECT_EQ(Access("old", "desk", "10.1.2.3", 1'799'999'999).status(), 403u) << "before: authenticated, and not of the staff";
}

TEST_F(ExplainTest, AUserAndACertificateAreJudgedTogether) {
  EXPECT_EQ(Access("ann", "both").status(), 401u);
  const v1::AccessVerdict both = Access("ann", "both", "", 0, leaf_);
  EXPECT_EQ(both.status(), 200u);
  EXPECT_EQ(both.principal(), "CN=alice");
  EXPECT_TRUE(both.if_password_right());
  auto alone = Ask(leaf_, "", "cert");
  ASSERT_TRUE(alone.ok());
  EXPECT_EQ(alone->access().status(), 200u);
  EXPECT_FALSE(alone->access().if_password_right());
}

TEST_F(ExplainTest, AQuestionAboutAUserNamesStoreAndRoute) {
  const auto ask = [this](const char* text) {
    v1::ExplainRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request));
    return Explain(*snapshot_, request, now_).status();
  };
  EXPECT_EQ(ask(R"(user: "ann" route: "desk")").message(), "user_store: is required with user");
  EXPECT_EQ(ask(R"(user_store: "staff" route: "desk")").message(), "user: is required with user_store");
  EXPECT_EQ(ask(R"(user_store: "staff" user: "ann" listener: "edge")").message(), "route: is required with user");
  EXPECT_EQ(ask(R"(user_store: "stuff" user: "ann" route: "desk")").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ask(R"(user_store: "staff" user: "ann" route: "desk" address: "here")").code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gatehouse::server
