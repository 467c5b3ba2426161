#include "gateway/certs/crl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "gateway/certs/test_revocation.h"

namespace gatehouse::certs {
namespace {

using ::testing::HasSubstr;

class CrlTest : public ::testing::Test {
 protected:
  std::optional<CrlEntry> FindIn(const CrlRef& crl, const CertificateRef& certificate) {
    return crl->Find(NameDer(X509_get_issuer_name(certificate->x509())), SerialOf(*certificate));
  }
  std::string WhyNot(const MintCrlRequest& request) {
    absl::StatusOr<CrlRef> crl = Crl::FromDer(Der(request, root_));
    return crl.ok() ? "" : std::string(crl.status().message());
  }

  Authority root_ = Root("CN=Root,O=Example", 0);
  CertificateRef alice_ = Leaf(root_, "CN=alice");
  CertificateRef bob_ = Leaf(root_, "CN=bob");
};

TEST_F(CrlTest, ReadsTheHeadAndFindsEntries) {
  const CrlRef crl = MakeCrl(List({Revoked(alice_, RevocationReason::kKeyCompromise)}), root_);
  EXPECT_EQ(crl->issuer(), "CN=Root,O=Example");
  EXPECT_EQ(crl->this_update(), kTestNow - absl::Minutes(10));
  EXPECT_EQ(crl->next_update(), kTestNow + absl::Minutes(50));
  EXPECT_EQ(crl->number(), "\x0a");
  EXPECT_FALSE(crl->is_delta());
  EXPECT_EQ(crl->scope_der(), "");
  EXPECT_EQ(crl->size(), 1u);
  const std::optional<CrlEntry> entry = FindIn(crl, alice_);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->revoked, kTestNow - absl::Hours(48));
  EXPECT_EQ(entry->reason, RevocationReason::kKeyCompromise);
  EXPECT_FALSE(FindIn(crl, bob_));
}

TEST_F(CrlTest, ReadsVersionOneWithoutNextUpdate) {
  MintCrlRequest request = List({Revoked(alice_)});
  request.version1 = true;
  request.next_update.reset();
  const CrlRef crl = MakeCrl(request, root_);
  EXPECT_EQ(crl->next_update(), std::nullopt);
  EXPECT_EQ(crl->number(), "");
  EXPECT_TRUE(FindIn(crl, alice_));
  request.entries[0].reason = RevocationReason::kSuperseded;
  EXPECT_THAT(WhyNot(request), HasSubstr("extensions, but not version 2"));
}

TEST_F(CrlTest, ReadsGeneralizedTime) {
  MintCrlRequest request = List();
  request.next_update = absl::FromCivil(absl::CivilDay(2051, 2, 3), absl::UTCTimeZone());
  EXPECT_EQ(MakeCrl(request, root_)->next_update(), request.next_update);
}

TEST_F(CrlTest, ComparesIssuerNamesAsRfc5280Does) {
  const Authority shouting = Root("CN=ROOT,O=EXAMPLE", 0);
  const CrlRef crl = MakeCrl(List({Revoked(alice_)}), shouting);
  EXPECT_TRUE(FindIn(crl, alice_));
  EXPECT_FALSE(crl->Find(NameDer(X509_get_subject_name(alice_->x509())), SerialOf(*alice_)));
  EXPECT_FALSE(crl->Find("not a name", SerialOf(*alice_)));
}

TEST_F(CrlTest, VerifiesTheSignatureOfTheIssuerOnly) {
  const CrlRef crl = MakeCrl(List({Revoked(alice_)}), root_);
  EXPECT_TRUE(crl->VerifySignature(KeyAt(0), {}).ok());
  EXPECT_FALSE(crl->VerifySignature(KeyAt(1), {}).ok());
  EXPECT_FALSE(crl->VerifySignature(nullptr, {}).ok());
  UniqueKey rsa = *MintKey(KeyType::kRsa2048);
  EXPECT_THAT(crl->VerifySignature(rsa.get(), {}).message(), HasSubstr("another kind"));
}

TEST_F(CrlTest, RemembersWhoseSignatureItIsAndWhoseNot) {
  MintCrlRequest request = List();
  request.digest = "SHA1";
  const CrlRef crl = MakeCrl(request, root_);
  Strength strength;
  strength.allow_sha1 = true;
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(crl->VerifySignature(*root_.certificate, strength).ok());
    for (size_t key = 1; key < 20; ++key) {  // more than are remembered
      EXPECT_FALSE(crl->VerifySignature(*Root("CN=Root,O=Example", key).certificate, strength).ok());
    }
    EXPECT_TRUE(crl->VerifySignature(*root_.certificate, strength).ok());
    // What was accepted under other options is not accepted under these.
    EXPECT_FALSE(crl->VerifySignature(*root_.certificate, {}).ok());
  }
}

TEST_F(CrlTest, VerifiesEveryKindOfSignature) {
  for (KeyType type : {KeyType::kRsa2048, KeyType::kP384, KeyType::kEd25519}) {
    UniqueKey key = *MintKey(type);
    const Authority authority{Make(Request(Profile::kCa, "CN=Root"), key.get()), key.get()};
    const CrlRef crl = MakeCrl(List(), authority);
    EXPECT_TRUE(crl->VerifySignature(key.get(), {}).ok());
    UniqueKey other = *MintKey(type);
    EXPECT_FALSE(crl->VerifySignature(other.get(), {}).ok());
  }
}

TEST_F(CrlTest, VerifiesRsaPss) {
  UniqueKey key = *MintKey(KeyType::kRsa2048);
  const Authority authority{Make(Request(Profile::kCa, "CN=Root"), key.get()), key.get()};
  for (const char* digest : {"SHA256", "SHA1"}) {
    const std::string der = Der(List({Revoked(alice_)}), authority);
    const auto* p = reinterpret_cast<const unsigned char*>(der.data());
    UniqueCrl crl(d2i_X509_CRL(nullptr, &p, static_cast<long>(der.size())));
    EVP_MD_CTX* ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX* key_ctx = nullptr;
    EVP_DigestSignInit(ctx, &key_ctx, EVP_get_digestbyname(digest), nullptr, key.get());
    EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST);
    ASSERT_GT(X509_CRL_sign_ctx(crl.get(), ctx), 0);
    EVP_MD_CTX_free(ctx);
    unsigned char* out = nullptr;
    const int size = i2d_X509_CRL(crl.get(), &out);
    absl::StatusOr<CrlRef> read =
        Crl::FromDer(std::string(reinterpret_cast<char*>(out), static_cast<size_t>(size)));
    OPENSSL_free(out);
    ASSERT_TRUE(read.ok()) << read.status();
    Strength strength;
    EXPECT_EQ((*read)->VerifySignature(key.get(), strength).ok(), digest == std::string("SHA256"));
    strength.allow_sha1 = true;
    EXPECT_TRUE((*read)->VerifySignature(key.get(), strength).ok());
    UniqueKey other = *MintKey(KeyType::kRsa2048);
    EXPECT_FALSE((*read)->VerifySignature(other.get(), strength).ok());
  }
}

TEST_F(CrlTest, RefusesWeakSignaturesUnlessAllowed) {
  MintCrlRequest request = List();
  request.digest = "SHA1";
  const CrlRef crl = MakeCrl(request, root_);
  EXPECT_THAT(crl->VerifySignature(KeyAt(0), {}).message(), HasSubstr("not accepted"));
  Strength strength;
  strength.allow_sha1 = true;
  EXPECT_TRUE(crl->VerifySignature(KeyAt(0), strength).ok());
}

TEST_F(CrlTest, NoticesEveryChangedOctet) {
  const std::string der = Der(List({Revoked(alice_)}), root_);
  for (size_t i = 0; i < der.size(); ++i) {
    std::string changed = der;
    changed[i] = static_cast<char>(changed[i] ^ 0x01);
    absl::StatusOr<CrlRef> crl = Crl::FromDer(changed);
    if (crl.ok()) {
      EXPECT_FALSE((*crl)->VerifySignature(KeyAt(0), {}).ok()) << i;
    }
  }
}

TEST_F(CrlTest, RefusesWhatIsCutShortOrLonger) {
  const std::string der =
      Der(List({Revoked(alice_, RevocationReason::kSuperseded), Revoked(bob_)}), root_);
  for (size_t i = 0; i < der.size(); ++i) {
    EXPECT_FALSE(Crl::FromDer(der.substr(0, i)).ok()) << i;
  }
  EXPECT_THAT(Crl::FromDer(der + "x").status().message(), HasSubstr("octets follow"));
  EXPECT_FALSE(Crl::FromDer(root_.certificate->der()).ok());
}

TEST_F(CrlTest, CannotBeUsedWithACriticalExtensionThatIsNotKnown) {
  MintCrlRequest request = List({Revoked(alice_)});
  request.extensions = {{"1.2.3.4", false, "x"}};
  EXPECT_EQ(WhyNot(request), "");
  request.extensions[0].critical = true;
  EXPECT_THAT(WhyNot(request), HasSubstr("critical extension that is not known"));
  request.extensions.clear();
  request.entries[0].extensions = {{"1.2.3.4", false, "x"}};
  EXPECT_EQ(WhyNot(request), "");
  request.entries[0].extensions[0].critical = true;
  EXPECT_THAT(WhyNot(request), HasSubstr("entry 0: a critical extension that is not known"));
}

TEST_F(CrlTest, RefusesListsThatContradictThemselves) {
  MintCrlRequest request = List({Revoked(alice_, RevocationReason::kRemoveFromCrl)});
  EXPECT_THAT(WhyNot(request), HasSubstr("not a delta CRL"));
  request.entries[0] = Revoked(alice_);
  request.entries[0].certificate_issuer = "CN=Other";
  EXPECT_THAT(WhyNot(request), HasSubstr("not an indirect CRL"));
  request = List();
  request.next_update = request.this_update - absl::Seconds(1);
  EXPECT_THAT(WhyNot(request), HasSubstr("nextUpdate is before thisUpdate"));
  request = List();
  request.scope = MintCrlScope{};
  request.scope->user_certificates_only = true;
  request.scope->authorities_only = true;
  EXPECT_THAT(WhyNot(request), HasSubstr("several kinds"));
  request = List();
  request.extensions = {{"crlNumber", false, "\x02\x01\x05"}};
  EXPECT_THAT(WhyNot(request), HasSubstr("appears twice"));
  request.number.reset();
  request.extensions[0].der = "\x02\x01\x85";
  EXPECT_THAT(WhyNot(request), HasSubstr("cRLNumber"));
  request = List({Revoked(alice_)});
  request.entries[0].extensions = {{"CRLReason", false, "\x0a\x01\x07"}};
  EXPECT_THAT(WhyNot(request), HasSubstr("entry 0: reasonCode"));
}

TEST_F(CrlTest, BoundsWhatCostsMoreThanItsOctets) {
  MintCrlRequest request = List();
  request.scope = MintCrlScope{};
  request.scope->urls.assign(64, "http://a/");
  EXPECT_EQ(WhyNot(request), "");
  request.scope->urls.assign(65, "http://a/");
  EXPECT_THAT(WhyNot(request), HasSubstr("issuingDistributionPoint"));
  request.scope->urls = {"http://a/" + std::string(9'000, 'a')};
  EXPECT_THAT(WhyNot(request), HasSubstr("issuingDistributionPoint"));
  request = List();
  request.issuer = "CN=a";
  for (int i = 0; i < 1'000; ++i) request.issuer += ",OU=many";
  EXPECT_THAT(WhyNot(request), HasSubstr("issuer"));
  EXPECT_THAT(Crl::FromDer(std::string(kMaxCrlSize + 1, '0')).status().message(),
              HasSubstr("at most"));
}

TEST_F(CrlTest, BoundsWhatIsSignedWithEdDsa) {
  UniqueKey key = *MintKey(KeyType::kEd25519);
  const Authority authority{Make(Request(Profile::kCa, "CN=Root"), key.get()), key.get()};
  MintCrlRequest request = List();
  request.extensions = {{"1.2.3.4", false, std::string(kMaxEdDsaMessage, 'x')}};
  EXPECT_THAT(Crl::FromDer(Der(request, authority)).status().message(), HasSubstr("EdDSA"));
  EXPECT_TRUE(Crl::FromDer(Der(request, root_)).ok());
}

TEST_F(CrlTest, KeepsACertificateRevokedThatIsListedTwice) {
  const auto remove = Revoked(alice_, RevocationReason::kRemoveFromCrl);
  const auto revoke = Revoked(alice_, RevocationReason::kKeyCompromise);
  for (const auto& entries : {std::vector{remove, revoke}, std::vector{revoke, remove}}) {
    const CrlRef crl = MakeCrl(Delta(1, 2, entries), root_);
    EXPECT_EQ(FindIn(crl, alice_)->reason, RevocationReason::kKeyCompromise);
  }
}

TEST_F(CrlTest, CarriesTheIssuerOfAnIndirectListForward) {
  const Authority other = Root("CN=Other", 1), third = Root("CN=Third", 2);
  MintRequest request = Request(Profile::kLeaf, "CN=carol");
  request.serial = SerialOf(*alice_);
  const CertificateRef twin = Make(request, KeyAt(9), other.signer());  // alice's serial number
  const CertificateRef dave = Leaf(other, "CN=dave"), erin = Leaf(third, "CN=erin");
  MintCrlRequest list = List({Revoked(bob_), Revoked(twin), Revoked(dave), Revoked(erin)});
  list.scope = MintCrlScope{};
  list.scope->indirect = true;
  list.entries[1].certificate_issuer = "CN=Other";
  list.entries[3].certificate_issuer = "CN=Third";
  const CrlRef crl = MakeCrl(list, root_);
  EXPECT_TRUE(crl->indirect());
  EXPECT_TRUE(FindIn(crl, bob_));  // before any issuer is named, the list's own
  EXPECT_TRUE(FindIn(crl, twin));
  EXPECT_TRUE(FindIn(crl, dave));
  EXPECT_TRUE(FindIn(crl, erin));
  EXPECT_FALSE(FindIn(crl, alice_));
  EXPECT_FALSE(FindIn(crl, Leaf(third, "CN=frank")));
  list.entries[1].certificate_issuer.clear();
  list.entries[1].extensions = {{"certificateIssuer", true, std::string("\x30\x00", 2)}};
  EXPECT_THAT(WhyNot(list), HasSubstr("certificateIssuer"));
}

TEST_F(CrlTest, IsReplacedOnlyByWhatIsNotOlderAndOfItsKind) {
  const CrlRef old = MakeCrl(List({}, 300), root_);
  const auto may = [&](const MintCrlRequest& request, const Authority& signer) {
    return old->MayBeReplacedBy(*MakeCrl(request, signer));
  };
  EXPECT_TRUE(may(List({}, 300), root_));
  EXPECT_TRUE(may(List({}, 301), root_));
  EXPECT_TRUE(may(List({}, 70'000), root_));
  EXPECT_FALSE(may(List({}, 299), root_));
  EXPECT_FALSE(may(List({}, 9), root_));
  EXPECT_FALSE(may(List({}, 301), Root("CN=Other", 1)));
  EXPECT_FALSE(may(Delta(300, 301, {}), root_));
  MintCrlRequest request = List({}, 301);
  request.this_update -= absl::Hours(1);  // the number counts before the time
  EXPECT_TRUE(may(request, root_));
  request.number.reset();
  EXPECT_FALSE(may(request, root_));
  request.this_update = kTestNow;
  EXPECT_TRUE(may(request, root_));
  request.scope = MintCrlScope{};
  request.scope->user_certificates_only = true;
  EXPECT_FALSE(may(request, root_));
}

TEST_F(CrlTest, ReadsBundlesAndSaysWhatATextIsInstead) {
  const std::string a = CrlToPem(Der(List({Revoked(alice_)}), root_));
  const std::string b = CrlToPem(Der(List({}, 11), root_));
  EXPECT_EQ(Crl::ListFromPem("text before\n" + a + "between\n" + b)->size(), 2u);
  EXPECT_EQ(Crl::ListFromBytes(a + b)->size(), 2u);
  EXPECT_EQ(Crl::ListFromBytes(Der(List(), root_))->size(), 1u);
  const auto why = [](absl::string_view text) {
    return std::string(Crl::ListFromPem(text).status().message());
  };
  EXPECT_EQ(why(""), "is empty");
  EXPECT_EQ(why("junk"), "holds no PEM block of kind \"X509 CRL\"");
  EXPECT_EQ(why(Der(List(), root_)), "is DER, not PEM");
  EXPECT_EQ(why(root_.certificate->ToPem()), "is PEM of kind \"CERTIFICATE\", not a CRL");
  EXPECT_THAT(why(a.substr(0, a.size() / 2)), HasSubstr("cut short"));
  EXPECT_THAT(why(a + "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"),
              HasSubstr("CRL 2 of the text"));
}

TEST_F(CrlTest, ALongListIsNotCopiedToBeRead) {
  std::string der = Der(List(), root_);
  const char* const octets = der.data();
  EXPECT_EQ((*Crl::ListFromBytes(std::move(der)))[0]->der().data(), octets);
}

// Property: on random lists Find says what OpenSSL says.
TEST_F(CrlTest, AgreesWithOpenSslOnRandomLists) {
  std::mt19937 random(11);
  const Authority other = Root("CN=Other", 1);
  std::vector<std::pair<const Authority*, CertificateRef>> certificates;
  for (int i = 0; i < 60; ++i) {
    MintRequest request = Request(Profile::kLeaf, "CN=x");
    // Few serial numbers, so that two authorities have some in common; of one to three octets.
    const auto n = static_cast<uint8_t>(random() % 40 + 1);
    request.serial = std::string(random() % 3, '\x41') + static_cast<char>(n);
    const Authority* parent = random() % 2 == 0 ? &root_ : &other;
    certificates.emplace_back(parent, Make(request, KeyAt(9), parent->signer()));
  }
  for (int round = 0; round < 60; ++round) {
    MintCrlRequest list = List();
    const bool indirect = round % 2 == 0;
    if (indirect) {
      list.scope = MintCrlScope{};
      list.scope->indirect = true;
    }
    const Authority* current = &root_;
    std::set<std::pair<const Authority*, std::string>> listed;
    for (const auto& [parent, certificate] : certificates) {
      if (random() % 2 == 0 || (!indirect && parent != &root_) ||
          !listed.emplace(parent, SerialOf(*certificate)).second) {
        continue;
      }
      MintCrlEntry entry = Revoked(certificate);
      if (random() % 2 == 0) entry.reason = static_cast<RevocationReason>(random() % 7);
      if (parent != current) entry.certificate_issuer = parent->certificate->subject();
      current = parent;
      list.entries.push_back(entry);
    }
    const CrlRef ours = MakeCrl(list, root_);
    const auto* p = reinterpret_cast<const unsigned char*>(ours->der().data());
    UniqueCrl theirs(d2i_X509_CRL(nullptr, &p, static_cast<long>(ours->der().size())));
    ASSERT_NE(theirs, nullptr);
    ASSERT_EQ(ours->size(), list.entries.size());
    for (const auto& [parent, certificate] : certificates) {
      if (!indirect && parent != &root_) continue;
      X509_REVOKED* entry = nullptr;
      const int found = X509_CRL_get0_by_cert(theirs.get(), &entry, certificate->x509());
      const std::optional<CrlEntry> mine = FindIn(ours, certificate);
      ASSERT_EQ(mine.has_value(), found == 1);
      if (found != 1) continue;
      int critical = 0;
      auto* reason = static_cast<ASN1_ENUMERATED*>(
          X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, &critical, nullptr));
      ASSERT_EQ(static_cast<int>(mine->reason),
                reason == nullptr ? 0 : ASN1_ENUMERATED_get(reason));
      ASN1_ENUMERATED_free(reason);
    }
  }
}

}  // namespace
}  // namespace gatehouse::certs
