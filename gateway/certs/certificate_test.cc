#include "gateway/certs/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "gateway/certs/names.h"
#include "gateway/certs/server_credential.h"
#include "gateway/certs/show.h"
#include "gateway/certs/signing_request.h"
#include "gateway/certs/test_pki.h"

namespace gatehouse::certs {
namespace {

using ::testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(CertificateTest, PrintsNamesByRfc4514AndAsDotNetDoes) {
  const CertificateRef c = SelfSigned("CN=test-client,O=Example\\, Inc.");
  EXPECT_EQ(c->subject(), "CN=test-client,O=Example\\, Inc.");
  EXPECT_EQ(c->subject_dotnet(), "CN=test-client, O=\"Example, Inc.\"");
  EXPECT_TRUE(c->self_signed());
}

TEST(CertificateTest, RoundTripsNamesThroughText) {
  for (const char* text : {"CN=a", "CN=\\#a,O=\\ b\\ ", "CN=x+OU=y,O=z", "CN=J\xc3\xbcrgen,C=DE",
                           "UID=1,DC=b,DC=c", "CN=a\\\"\\+\\;\\<\\>\\\\"}) {
    absl::StatusOr<UniqueName> name = ParseName(text);
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(NameRfc4514(name->get()), text);
  }
  for (const char* text : {"", "alice", "CN=", "FOO=x", "CN=a\\", "CN=a,"}) {
    EXPECT_FALSE(ParseName(text).ok()) << text;
  }
}

TEST(CertificateTest, PrintsSerialNumbersWithAndWithoutTheLeadingZero) {
  MintRequest request = Request(Profile::kSelfSigned, "CN=a");
  request.serial = std::string("\x00\xab\xcd", 3);
  const CertificateRef c = Make(request, KeyAt(9));
  EXPECT_EQ(c->serial_hex_dotnet(), "00ABCD");
  EXPECT_EQ(c->serial_hex_integer(), "ABCD");
}

TEST(CertificateTest, SaysWhatAPemTextIsInstead) {
  const CertificateRef c = SelfSigned("CN=a");
  const std::string key(KeyToPem(KeyAt(9))->Reveal());
  EXPECT_EQ(Message(Certificate::ListFromPem(key).status()), "is a private key, not a certificate");
  EXPECT_EQ(Message(Certificate::ListFromPem(c->der()).status()), "is DER, not PEM");
  EXPECT_EQ(Message(Certificate::ListFromPem("hello").status()), "holds no PEM block");
  EXPECT_EQ(Message(Certificate::ListFromPem("").status()), "is empty");
  EXPECT_EQ(Certificate::ListFromPem(c->ToPem() + c->ToPem())->size(), 2u);
  EXPECT_FALSE(
      Certificate::ListFromPem("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")
          .ok());
}

TEST(CertificateTest, FindsFaultWithAnAttributeThatIsNoText) {
  std::string der = SelfSigned("CN=alice")->der();
  for (size_t at = 0; (at = der.find("\x0c\x05" "alice", at)) != std::string::npos; ++at) der[at] = '\x30';
  const absl::StatusOr<CertificateRef> octets = Certificate::FromDer(der);
  ASSERT_TRUE(octets.ok()) << octets.status();
  EXPECT_EQ((*octets)->defect(), "subject: attribute 2.5.4.3 is no text");
}

TEST(CertificateTest, FindsFaultWithAVersionThatThereIsNot) {
  const CertificateRef good = SelfSigned("CN=alice");
  ASSERT_EQ(good->defect(), "");
  for (const char version : {'\x03', '\x09', '\xff'}) {
    std::string der = good->der();
    const size_t at = der.find("\xa0\x03\x02\x01\x02");
    ASSERT_NE(at, std::string::npos);
    der[at + 4] = version;
    EXPECT_EQ((*Certificate::FromDer(der))->defect(), "version is none of 1 to 3");
  }
}

TEST(CertificateTest, RefusesTrailingOctetsAndOversize) {
  const CertificateRef c = SelfSigned("CN=a");
  EXPECT_FALSE(Certificate::FromDer(c->der() + "x").ok());
  EXPECT_FALSE(Certificate::FromDer(c->der().substr(1)).ok());
  EXPECT_FALSE(Certificate::FromDer(std::string(kMaxCertificateSize + 1, '0')).ok());
  EXPECT_EQ((*Certificate::FromDer(c->der()))->sha256(), c->sha256());
}

TEST(CertificateTest, RefusesNamesThatAreLongerThanAnybodys) {
  std::string subject = "CN=a";
  for (int i = 0; i < 9; ++i) subject += ",DC=" + std::string(1000, 'a');
  absl::StatusOr<CertificateRef> c = Mint(Request(Profile::kSelfSigned, subject), KeyAt(9));
  EXPECT_THAT(Message(c.status()), HasSubstr("name of"));
  EXPECT_TRUE(Mint(Request(Profile::kSelfSigned, subject.substr(0, 7000)), KeyAt(9)).ok());
}

TEST(CertificateTest, KeepsListsApartInThePresentedKey) {
  EXPECT_NE(PresentedKey({"ab", "c"}), PresentedKey({"a", "bc"}));
  EXPECT_NE(PresentedKey({"a"}), PresentedKey({"a", ""}));
}

TEST(TrustStoreTest, ReportsEveryErrorWithItsPath) {
  TrustStoreInput input;
  const std::string good = SelfSigned("CN=a")->ToPem();
  input.anchors_pem = {std::string(KeyToPem(KeyAt(9))->Reveal()), good, good};
  input.intermediates_pem = {"junk"};
  input.pins = {Pin{}, Pin{}};
  input.crls_pem = {"junk"};
  std::vector<FieldError> errors;
  EXPECT_EQ(TrustStore::Create(input, &errors), nullptr);
  std::vector<std::string> fields;
  for (const FieldError& e : errors) fields.push_back(e.field);
  EXPECT_THAT(fields, ::testing::ElementsAre("anchors[0]", "anchors[2]", "intermediates[0]",
                                             "pins[1]", "crls[0]"));
  EXPECT_EQ(errors[0].message, "is a private key, not a certificate");
}

TEST(TrustStoreTest, RefusesToTrustNobody) {
  std::vector<FieldError> errors;
  EXPECT_EQ(TrustStore::Create({}, &errors), nullptr);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_THAT(errors[0].message, HasSubstr("no anchor and no pin"));
}

TEST(TrustStoreTest, HasOneVersionForOneContent) {
  const CertificateRef a = SelfSigned("CN=a"), b = SelfSigned("CN=b");
  EXPECT_EQ(Store({a, b})->version(), Store({b, a})->version());
  EXPECT_NE(Store({a, b})->version(), Store({a})->version());
  EXPECT_NE(Store({a})->version(), Store({}, {a})->version());
}

TEST(TrustStoreTest, ReadsPins) {
  const CertificateRef a = SelfSigned("CN=a");
  const std::string hex = HexLower(AsView(a->sha256()));
  const Pin pin{Pin::Kind::kCertificate, a->sha256()};
  EXPECT_EQ(*ParsePin("sha256:" + hex), pin);
  EXPECT_EQ(*ParsePin(a->ToPem()), pin);
  EXPECT_EQ(ParsePin("spki:" + hex)->kind, Pin::Kind::kSpki);
  std::string colons;
  for (size_t i = 0; i < 64; i += 2) colons += (i == 0 ? "" : ":") + hex.substr(i, 2);
  EXPECT_EQ(*ParsePin(colons), pin);
  EXPECT_FALSE(ParsePin("sha256:" + hex.substr(2)).ok());
  EXPECT_FALSE(ParsePin("sha256:" + hex.substr(1) + "g").ok());
}

TEST(SchemeOptionsTest, ChangesItsEpochWithItsContent) {
  SchemeOptions a, b;
  EXPECT_EQ(ContentEpoch(a), ContentEpoch(b));
  b.clock_skew = absl::Seconds(1);
  EXPECT_NE(ContentEpoch(a), ContentEpoch(b));
  b = a;
  b.trust_store = Store({SelfSigned("CN=a")});
  EXPECT_NE(ContentEpoch(a), ContentEpoch(b));
}

TEST(SchemeOptionsTest, ReadsPoliciesAndRefusesAnyPolicyByName) {
  EXPECT_EQ(*ParsePolicy("2.16.840.1.101.3.2.1.48.1"), "\x60\x86\x48\x01\x65\x03\x02\x01\x30\x01");
  for (const char* text : {"", "anyPolicy", "2.5.29.32.0", "9.1", "1.2.", "1.2.3 ", "1.2.-3", "CN"}) {
    EXPECT_FALSE(ParsePolicy(text).ok()) << text;
  }
  SchemeOptions a, b;
  b.policy.initial_set = {*ParsePolicy("1.2.3")};
  EXPECT_NE(ContentEpoch(a), ContentEpoch(b));
}

TEST(CertificateTest, RemembersOnlyTheKeyThatSignedIt) {
  const Authority root = Root("CN=root", 0);
  const Authority namesake = Root("CN=root", 1);
  const Authority lower = Sub(root, "CN=lower", 2);
  const CertificateRef leaf = Leaf(lower, "CN=leaf");
  for (int again = 0; again < 3; ++again) {
    EXPECT_FALSE(lower.certificate->IsSignedBy(*namesake.certificate));
    EXPECT_FALSE(lower.certificate->IsSignedBy(*lower.certificate));
    EXPECT_TRUE(lower.certificate->IsSignedBy(*root.certificate));
    EXPECT_TRUE(leaf->IsSignedBy(*lower.certificate));
    EXPECT_FALSE(leaf->IsSignedBy(*root.certificate));
  }
}

TEST(SchemeOptionsTest, RefusesMatchersThatSayNothing) {
  EXPECT_FALSE(TextMatcher::Create(TextMatcher::Kind::kPrefix, "").ok());
  EXPECT_FALSE(TextMatcher::Create(TextMatcher::Kind::kRegex, "(").ok());
  EXPECT_FALSE(ParseAddressRange("10.0.0.1/8").ok());
  EXPECT_FALSE(ParseAddressRange("10.0.0.0/33").ok());
  EXPECT_TRUE(ParseAddressRange("2001:db8::/32").ok());
  EXPECT_FALSE(ParseAttribute("NOSUCH").ok());
  EXPECT_EQ(*ParseAttribute("CN"), "2.5.4.3");
  EXPECT_FALSE(ParseSignatureAlgorithm("sha256").ok());
}

TEST(ServerCredentialTest, RefusesAForeignKey) {
  const CertificateRef c = SelfSigned("CN=a", 1);
  const std::string other(KeyToPem(KeyAt(2))->Reveal());
  EXPECT_EQ(Message(ServerCredential::FromPem("web", c->ToPem(), other).status()),
            "server certificate \"web\": private key does not match the certificate");
  const std::string own(KeyToPem(KeyAt(1))->Reveal());
  EXPECT_TRUE(ServerCredential::FromPem("web", c->ToPem(), own).ok());
  EXPECT_THAT(Message(ServerCredential::FromPem("web", c->ToPem(), c->ToPem()).status()),
              HasSubstr("is a certificate, not a private key"));
  EXPECT_THAT(Message(ServerCredential::FromPem("web", own, own).status()),
              HasSubstr("is a private key"));
}

TEST(MintTest, MakesEveryKindOfKeyAndOpensItsOwnPfx) {
  for (KeyType type : {KeyType::kRsa2048, KeyType::kP256, KeyType::kP384, KeyType::kEd25519}) {
    UniqueKey key = *MintKey(type);
    MintRequest request = Request(Profile::kSelfSigned, "CN=server");
    request.sans = {{SanKind::kDns, "A.test"}};
    const CertificateRef c = Make(request, key.get());
    ASSERT_TRUE(c->self_signed());
    const Secret password(absl::string_view("pass"));
    absl::StatusOr<std::string> pfx = ToPfx(key.get(), {c}, password, "server");
    ASSERT_TRUE(pfx.ok()) << pfx.status();
    auto opened = ServerCredential::FromPfx("web", *pfx, password);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_THAT((*opened)->dns_names(), ::testing::ElementsAre("a.test"));
    EXPECT_THAT(
        Message(ServerCredential::FromPfx("web", *pfx, Secret(absl::string_view("no"))).status()),
        HasSubstr("password is wrong"));
  }
}

TEST(ShowTest, EscapesWhatACertificateSays) {
  const CertificateRef c = SelfSigned("CN=a\\1B[31m");
  const std::string text = ShowText(*c, kTestNow);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_THAT(text, HasSubstr("clientAuth"));
  EXPECT_THAT(text, HasSubstr("30 days left"));
  EXPECT_THAT(text, HasSubstr("defect"));
}

// With the exponent 1 everybody signs: whoever saw the certificate could be that gateway.
TEST(SigningRequestTest, AnRsaKeyWithAnAbsurdExponentIsNotTaken) {
  const UniqueKey whole(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048}));
  BIGNUM* n = nullptr;
  ASSERT_EQ(EVP_PKEY_get_bn_param(whole.get(), OSSL_PKEY_PARAM_RSA_N, &n), 1);
  const std::unique_ptr<BIGNUM, OpenSslDeleter<BN_free>> modulus(n), one(BN_new());
  BN_one(one.get());
  const std::unique_ptr<OSSL_PARAM_BLD, OpenSslDeleter<OSSL_PARAM_BLD_free>> build(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, one.get());
  OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_D, one.get());
  const std::unique_ptr<OSSL_PARAM, OpenSslDeleter<OSSL_PARAM_free>> parameters(OSSL_PARAM_BLD_to_param(build.get()));
  const std::unique_ptr<EVP_PKEY_CTX, OpenSslDeleter<EVP_PKEY_CTX_free>> context(EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nullptr));
  EVP_PKEY* made = nullptr;
  ASSERT_EQ(EVP_PKEY_fromdata_init(context.get()), 1);
  ASSERT_EQ(EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEYPAIR, parameters.get()), 1);
  const UniqueKey everybodys(made);
  const auto request = MintSigningRequest(everybodys.get());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_THAT(std::string(KeyOfSigningRequest(*request).status().message()), ::testing::HasSubstr("exponent"));
  EXPECT_TRUE(KeyOfSigningRequest(*MintSigningRequest(whole.get())).ok());
}

}  // namespace
}  // namespace gatehouse::certs
