#include "gateway/certs/ocsp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ocsp.h>

#include "gateway/certs/test_revocation.h"

namespace gatehouse::certs {
namespace {

using ::testing::HasSubstr;

class OcspTest : public ::testing::Test {
 protected:
  OcspTest() { check_.now = kTestNow; }

  absl::StatusOr<OcspAnswerRef> Read(const MintOcspRequest& request, const Authority& responder) {
    absl::StatusOr<std::string> der = MintOcspAnswer(request, responder.signer());
    if (!der.ok()) return der.status();
    return ReadOcspAnswer(*der, *alice_, *root_.certificate, check_);
  }
  std::string WhyNot(const MintOcspRequest& request, const Authority& responder) {
    absl::StatusOr<OcspAnswerRef> answer = Read(request, responder);
    return answer.ok() ? "" : std::string(answer.status().message());
  }
  MintOcspRequest Good() { return AnswerOf(alice_, root_.certificate); }
  // A responder's certificate with these extensions in place of the usual ones.
  Authority ResponderWith(const Authority& parent, std::vector<MintExtension> extensions) {
    MintRequest request = Request(Profile::kLeaf, "CN=Responder,O=Example");
    request.extensions = std::move(extensions);
    return {Make(request, KeyAt(7), parent.signer()), KeyAt(7)};
  }

  Authority root_ = Root("CN=Root,O=Example", 0);
  CertificateRef alice_ = Leaf(root_, "CN=alice");
  CertificateRef bob_ = Leaf(root_, "CN=bob");
  OcspCheck check_;
};

TEST_F(OcspTest, ReadsAnAnswerOfTheIssuer) {
  const absl::StatusOr<OcspAnswerRef> answer = Read(Good(), root_);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ((*answer)->status, OcspStatus::kGood);
  EXPECT_EQ((*answer)->this_update, kTestNow - absl::Minutes(3));
  EXPECT_EQ((*answer)->next_update, kTestNow + absl::Minutes(57));
  EXPECT_EQ((*answer)->produced_at, kTestNow - absl::Minutes(3));
  EXPECT_EQ((*answer)->responder, "CN=Root,O=Example");
  EXPECT_EQ((*answer)->delegate, nullptr);
  EXPECT_FALSE((*answer)->der.empty());
}

TEST_F(OcspTest, ReadsRevokedWithTimeAndReasonAndUnknown) {
  MintOcspRequest request = AnswerOf(alice_, root_.certificate, OcspStatus::kRevoked);
  EXPECT_EQ((*Read(request, root_))->reason, RevocationReason::kUnspecified);
  request.answers[0].reason = RevocationReason::kKeyCompromise;
  const absl::StatusOr<OcspAnswerRef> answer = Read(request, root_);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ((*answer)->status, OcspStatus::kRevoked);
  EXPECT_EQ((*answer)->revoked, kTestNow - absl::Hours(48));
  EXPECT_EQ((*answer)->reason, RevocationReason::kKeyCompromise);
  request.answers[0].status = OcspStatus::kUnknown;
  EXPECT_EQ((*Read(request, root_))->status, OcspStatus::kUnknown);
}

TEST_F(OcspTest, KnowsTheResponderByKeyAndTheCertificateBySha256) {
  MintOcspRequest request = Good();
  request.by_key = true;
  EXPECT_EQ(WhyNot(request, root_), "");
  request.sha256_ids = true;
  EXPECT_EQ(WhyNot(request, root_), "");
}

TEST_F(OcspTest, RefusesAnAnswerAboutAnotherCertificate) {
  EXPECT_THAT(WhyNot(AnswerOf(bob_, root_.certificate), root_), HasSubstr("not about this"));
  // Another issuer's certificate with the same serial number.
  const Authority other = Root("CN=Other", 1);
  MintRequest twin = Request(Profile::kLeaf, "CN=alice");
  twin.serial = SerialOf(*alice_);
  MintOcspRequest request =
      AnswerOf(Make(twin, KeyAt(9), other.signer()), other.certificate);
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("not about this"));
  // The issuer's name with another key.
  request = Good();
  request.issuer = Root("CN=Root,O=Example", 1).certificate;
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("not about this"));
}

TEST_F(OcspTest, FindsItsCertificateAmongOthersAndTakesTheNewest) {
  MintOcspRequest request = AnswerOf(bob_, root_.certificate, OcspStatus::kRevoked);
  request.answers.push_back(Good().answers[0]);
  EXPECT_EQ((*Read(request, root_))->status, OcspStatus::kGood);
  MintOcspSingle revoked = AnswerOf(alice_, root_.certificate, OcspStatus::kRevoked).answers[0];
  request.answers.push_back(revoked);  // as new, but worse
  EXPECT_EQ((*Read(request, root_))->status, OcspStatus::kRevoked);
  request.answers.back().this_update -= absl::Seconds(1);
  EXPECT_EQ((*Read(request, root_))->status, OcspStatus::kGood);
}

TEST_F(OcspTest, RefusesTheWrongSigner) {
  EXPECT_THAT(WhyNot(Good(), Root("CN=Root,O=Example", 1)), HasSubstr("signature"));
  const Authority other = Root("CN=Other", 1);
  EXPECT_THAT(WhyNot(Good(), other), HasSubstr("nobody who may sign"));
  MintOcspRequest request = Good();
  request.certificates = {other.certificate};
  EXPECT_NE(WhyNot(request, other), "");
}

TEST_F(OcspTest, AcceptsADelegateThatTheIssuerIssuedForSigningAnswers) {
  const Authority responder = Responder(root_);
  MintOcspRequest request = Good();
  EXPECT_THAT(WhyNot(request, responder), HasSubstr("nobody who may sign"));
  request.certificates = {bob_, responder.certificate};
  const absl::StatusOr<OcspAnswerRef> answer = Read(request, responder);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ((*answer)->responder, "CN=Responder,O=Example");
  EXPECT_EQ((*answer)->delegate->sha256(), responder.certificate->sha256());
  EXPECT_TRUE((*answer)->nocheck);
  const Authority checked = Responder(root_, false);
  request.certificates = {checked.certificate};
  EXPECT_FALSE((*Read(request, checked))->nocheck);
}

TEST_F(OcspTest, RefusesDelegatesWithoutTheUseOrOfAnotherIssuer) {
  const auto why = [&](const Authority& responder) {
    MintOcspRequest request = Good();
    request.certificates = {responder.certificate};
    return WhyNot(request, responder);
  };
  EXPECT_THAT(why(ResponderWith(root_, {})), HasSubstr("OCSPSigning"));
  EXPECT_THAT(why(ResponderWith(root_, {{"extendedKeyUsage", false, ""}})),
              HasSubstr("OCSPSigning"));
  EXPECT_THAT(why(ResponderWith(root_, {ExtensionOf("extendedKeyUsage", "anyExtendedKeyUsage")})),
              HasSubstr("OCSPSigning"));
  EXPECT_THAT(why(ResponderWith(root_, {ExtensionOf("extendedKeyUsage", "OCSPSigning"),
                                        ExtensionOf("keyUsage", "critical,keyEncipherment")})),
              HasSubstr("key usage"));
  EXPECT_THAT(why(ResponderWith(root_, {ExtensionOf("extendedKeyUsage", "OCSPSigning"),
                                        {"1.2.3.4", true, "x"}})),
              HasSubstr("critical extension"));
  EXPECT_THAT(why(Responder(Root("CN=Other", 1))), HasSubstr("own issuer"));
  EXPECT_THAT(why(Responder(Root("CN=Root,O=Example", 1))), HasSubstr("own issuer"));
  const Authority sub = Sub(root_, "CN=Sub", 2);  // the anchor's delegate is not the issuer's
  EXPECT_THAT(why(Responder(sub)), HasSubstr("own issuer"));
}

TEST_F(OcspTest, RefusesDelegatesThatAreNotValidNowOrWeak) {
  MintRequest minted = Request(Profile::kLeaf, "CN=Responder");
  minted.extensions = {ExtensionOf("extendedKeyUsage", "OCSPSigning")};
  minted.not_after = kTestNow - absl::Minutes(6);
  MintOcspRequest request = Good();
  Authority responder{Make(minted, KeyAt(7), root_.signer()), KeyAt(7)};
  request.certificates = {responder.certificate};
  EXPECT_THAT(WhyNot(request, responder), HasSubstr("not valid now"));
  minted.not_after = kTestNow - absl::Minutes(4);  // within the skew
  responder.certificate = Make(minted, KeyAt(7), root_.signer());
  request.certificates = {responder.certificate};
  EXPECT_EQ(WhyNot(request, responder), "");
  UniqueKey weak(EVP_RSA_gen(1024));
  responder = {Make(minted, weak.get(), root_.signer()), weak.get()};
  request.certificates = {responder.certificate};
  EXPECT_THAT(WhyNot(request, responder), HasSubstr("1024 bits"));
}

TEST_F(OcspTest, RefusesWeakSignatures) {
  MintOcspRequest request = Good();
  request.digest = "SHA1";
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("not accepted"));
  check_.strength.allow_sha1 = true;
  EXPECT_EQ(WhyNot(request, root_), "");
}

TEST_F(OcspTest, ToleratesAResponderThatIgnoresTheNonceAndRefusesAWrongOne) {
  MintOcspRequest request = Good();
  check_.nonce = "0123456789abcdef";
  EXPECT_EQ(WhyNot(request, root_), "");
  request.nonce = "0123456789abcdef";
  EXPECT_EQ(WhyNot(request, root_), "");
  request.nonce = "0123456789abcdeg";
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("nonce"));
  check_.nonce.clear();  // from the cache on disk
  EXPECT_EQ(WhyNot(request, root_), "");
}

TEST_F(OcspTest, RefusesAnswersThatAreOldOrFromTheFuture) {
  MintOcspRequest request = Good();
  check_.now = kTestNow + absl::Minutes(57) + check_.skew;
  EXPECT_EQ(WhyNot(request, root_), "");
  check_.now += absl::Seconds(1);
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("expired"));
  check_.now = request.produced_at - check_.skew;
  EXPECT_EQ(WhyNot(request, root_), "");
  check_.now -= absl::Seconds(1);
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("future"));
  check_.now = kTestNow;
  request.produced_at = kTestNow + absl::Minutes(6);
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("future"));
  request = Good();
  request.answers[0].next_update = request.answers[0].this_update - absl::Seconds(1);
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("before thisUpdate"));
  request.answers[0].next_update.reset();
  EXPECT_EQ(WhyNot(request, root_), "");
}

TEST_F(OcspTest, RefusesCriticalExtensionsThatAreNotKnown) {
  MintOcspRequest request = Good();
  request.extensions = {{"1.2.3.4", false, "x"}};
  EXPECT_EQ(WhyNot(request, root_), "");
  request.extensions[0].critical = true;
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("critical extension"));
}

TEST_F(OcspTest, SaysWhatTheResponderSays) {
  const std::pair<int, const char*> said[] = {{1, "malformedRequest"}, {2, "internalError"},
                                              {3, "tryLater"},         {5, "sigRequired"},
                                              {6, "unauthorized"}};
  for (const auto& [code, name] : said) {
    const absl::Status status =
        ReadOcspAnswer(MintOcspError(code), *alice_, *root_.certificate, check_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(status.message(), HasSubstr(name));
  }
  for (int code : {0, 4, 7}) {
    EXPECT_EQ(
        ReadOcspAnswer(MintOcspError(code), *alice_, *root_.certificate, check_).status().code(),
        absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(OcspTest, RefusesWhatIsCutChangedOrGarbage) {
  const Authority responder = Responder(root_);
  MintOcspRequest request = AnswerOf(alice_, root_.certificate, OcspStatus::kRevoked);
  request.answers[0].reason = RevocationReason::kSuperseded;
  request.certificates = {responder.certificate};
  request.nonce = "nonce";
  check_.nonce = "nonce";
  const std::string der = *MintOcspAnswer(request, responder.signer());
  const auto read = [&](absl::string_view octets) {
    return ReadOcspAnswer(octets, *alice_, *root_.certificate, check_);
  };
  ASSERT_TRUE(read(der).ok()) << read(der).status();
  for (size_t i = 0; i < der.size(); ++i) EXPECT_FALSE(read(der.substr(0, i)).ok()) << i;
  for (size_t i = 0; i < der.size(); ++i) {
    std::string changed = der;
    changed[i] = static_cast<char>(changed[i] ^ 0x01);
    EXPECT_FALSE(read(changed).ok()) << i;
  }
  EXPECT_FALSE(read(der + "x").ok());
  EXPECT_FALSE(read("<html>404</html>").ok());
  EXPECT_FALSE(read(root_.certificate->der()).ok());
  EXPECT_THAT(read(std::string(kMaxOcspSize + 1, '0')).status().message(), HasSubstr("at most"));
}

TEST_F(OcspTest, BoundsTheCertificatesSentAlong) {
  MintOcspRequest request = Good();
  request.certificates.assign(9, bob_);
  EXPECT_THAT(WhyNot(request, root_), HasSubstr("over 8 certificates"));
}

TEST_F(OcspTest, AsksWithTheNonceGiven) {
  const std::string der = *MakeOcspRequest(*alice_, *root_.certificate, "0123456789abcdef");
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  OCSP_REQUEST* request = d2i_OCSP_REQUEST(nullptr, &p, static_cast<long>(der.size()));
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(OCSP_request_onereq_count(request), 1);
  EXPECT_THAT(der, HasSubstr("0123456789abcdef"));
  EXPECT_THAT(der, HasSubstr(SerialOf(*alice_)));
  EXPECT_GE(OCSP_REQUEST_get_ext_by_NID(request, NID_id_pkix_OCSP_Nonce, -1), 0);
  OCSP_REQUEST_free(request);
  EXPECT_LT(MakeOcspRequest(*alice_, *root_.certificate, "")->size(), der.size());
}

}  // namespace
}  // namespace gatehouse::certs
