#include "gateway/certs/bundle.h"

#include <openssl/pkcs7.h>

#include <algorithm>
#include <functional>
#include <random>

#include "gateway/certs/pkcs12.h"
#include "gateway/certs/server_credential.h"
#include "gateway/certs/test_pki.h"
#include "gmock/gmock.h"

namespace gatehouse::certs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

absl::StatusOr<Secret> NoPassword() {
  ADD_FAILURE() << "no password is needed";
  return Secret();
}

std::string Encoded(const PKCS12& pfx) {
  unsigned char* der = nullptr;
  const int size = i2d_PKCS12(&pfx, &der);
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

absl::StatusOr<Secret> Sesame() { return Secret(std::string("sesame")); }

std::string Pkcs7(const std::vector<CertificateRef>& certificates) {
  std::unique_ptr<PKCS7, OpenSslDeleter<PKCS7_free>> p7(PKCS7_new());
  PKCS7_set_type(p7.get(), NID_pkcs7_signed);
  PKCS7_content_new(p7.get(), NID_pkcs7_data);
  for (const CertificateRef& c : certificates) PKCS7_add_certificate(p7.get(), c->x509());
  unsigned char* der = nullptr;
  const int size = i2d_PKCS7(p7.get(), &der);
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::vector<std::string> Subjects(const std::vector<CertificateRef>& certificates) {
  std::vector<std::string> out;
  for (const CertificateRef& c : certificates) out.push_back(c->subject());
  return out;
}

class BundleTest : public ::testing::Test {
 protected:
  const Authority root_ = Root("CN=Root", 0);
  const Authority sub_ = Sub(root_, "CN=Sub", 1);
  const CertificateRef leaf_ = Leaf(sub_, "CN=alice", 2);
  const std::vector<CertificateRef> chain_ = {leaf_, sub_.certificate, root_.certificate};
};

TEST_F(BundleTest, ReadsPemDerAndPkcs7) {
  for (const std::string& bytes : {ChainToPem(chain_), Pkcs7(chain_), PemBlock("PKCS7", Pkcs7(chain_))}) {
    auto bundle = ReadBundle(bytes, NoPassword);
    ASSERT_TRUE(bundle.ok()) << bundle.status();
    EXPECT_THAT(Subjects(bundle->certificates), ElementsAre("CN=alice", "CN=Sub", "CN=Root"));
    EXPECT_EQ(bundle->private_keys, 0);
  }
  auto der = ReadBundle(leaf_->der(), NoPassword);
  ASSERT_TRUE(der.ok()) << der.status();
  EXPECT_THAT(Subjects(der->certificates), ElementsAre("CN=alice"));
  EXPECT_EQ(der->form, Bundle::Form::kDer);
  EXPECT_EQ(ReadBundle(Pkcs7(chain_), NoPassword)->form, Bundle::Form::kPkcs7);
}

TEST_F(BundleTest, OfPrivateKeysItOnlySaysThatTheyWereThere) {
  const std::string key(KeyToPem(KeyAt(2))->Reveal());
  auto pem = ReadBundle(key + leaf_->ToPem(), NoPassword);
  ASSERT_TRUE(pem.ok()) << pem.status();
  EXPECT_THAT(pem->certificates, SizeIs(1));
  EXPECT_EQ(pem->private_keys, 1);
  EXPECT_THAT(ReadBundle(key, NoPassword).status().message(), HasSubstr("holds a private key and no certificate"));
}

TEST_F(BundleTest, ReadsAPfxUnderItsPassword) {
  const std::string pfx = *ToPfx(KeyAt(2), chain_, Secret(std::string("sesame")), "alice");
  int asked = 0;
  auto with = [&](const char* password) {
    return ReadBundle(pfx, [&, password]() -> absl::StatusOr<Secret> {
      ++asked;
      return Secret(std::string(password));
    });
  };
  auto bundle = with("sesame");
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->form, Bundle::Form::kPfx);
  EXPECT_EQ(bundle->private_keys, 1);
  EXPECT_THAT(Subjects(LeafFirst(bundle->certificates)), ElementsAre("CN=alice", "CN=Sub", "CN=Root"));
  EXPECT_EQ(asked, 1);
  EXPECT_THAT(with("wrong").status().message(), HasSubstr("the password is wrong"));
  EXPECT_THAT(with("").status().message(), HasSubstr("the password is wrong"));
  const absl::Status cancelled = ReadBundle(pfx, []() -> absl::StatusOr<Secret> {
                                   return absl::FailedPreconditionError("no terminal");
                                 }).status();
  EXPECT_EQ(cancelled.message(), "no terminal");
}

TEST_F(BundleTest, WhatIsNoBundleIsSaid) {
  EXPECT_THAT(ReadBundle("", NoPassword).status().message(), HasSubstr("neither PEM nor DER"));
  EXPECT_THAT(ReadBundle("hello", NoPassword).status().message(), HasSubstr("neither PEM nor DER"));
  EXPECT_THAT(ReadBundle(Pkcs7({}), NoPassword).status().message(), HasSubstr("holds no certificate"));
  EXPECT_THAT(ReadBundle(Pkcs7(chain_) + "x", NoPassword).status().message(), HasSubstr("no PKCS#7, no PFX, and no certificate"));
  EXPECT_THAT(ReadBundle(PemBlock("EC PARAMETERS", "x"), NoPassword).status().message(),
              HasSubstr("PEM block of kind \"EC PARAMETERS\""));
  EXPECT_THAT(ReadBundle(PemBlock("CERTIFICATE", "x"), NoPassword).status().message(), HasSubstr("certificate 1: "));
}

TEST_F(BundleTest, DamagedBundlesAreRefusedOrReadButNeverMore) {
  const auto password = []() -> absl::StatusOr<Secret> { return Secret(std::string("sesame")); };
  std::minstd_rand random(7);
  for (const std::string& good : {Pkcs7(chain_), *ToPfx(KeyAt(2), chain_, Secret(std::string("sesame")), "alice"), ChainToPem(chain_)}) {
    for (int i = 0; i < 300; ++i) {
      std::string bad = good;
      for (int n = 0; n < 3; ++n) bad[random() % bad.size()] = static_cast<char>(random());
      if (i % 3 == 0) bad.resize(random() % bad.size());
      auto bundle = ReadBundle(bad, password);
      if (bundle.ok()) {
        EXPECT_LE(bundle->certificates.size(), 3u);
      }
    }
  }
}

// Whoever made the file says how often its password is hashed.
TEST_F(BundleTest, APfxThatWouldBeHashedForHoursIsRefusedAtOnce) {
  const std::string pfx = *ToPfx(KeyAt(2), chain_, Secret(std::string("sesame")), "alice");
  const auto slow_mac = [](PKCS12* p) {
    const ASN1_INTEGER* iterations = nullptr;
    PKCS12_get0_mac(nullptr, nullptr, nullptr, &iterations, p);
    ASN1_INTEGER_set(const_cast<ASN1_INTEGER*>(iterations), 2'000'000'000);
  };
  const auto slow_safe = [](PKCS12* p) {
    UniqueSafes safes(PKCS12_unpack_authsafes(p));
    for (int i = 0; i < sk_PKCS7_num(safes.get()); ++i) {
      PKCS7* safe = sk_PKCS7_value(safes.get(), i);
      if (OBJ_obj2nid(safe->type) != NID_pkcs7_encrypted) continue;
      X509_ALGOR_free(safe->d.encrypted->enc_data->algorithm);
      safe->d.encrypted->enc_data->algorithm = PKCS5_pbe2_set(EVP_aes_256_cbc(), 2'000'000'000, nullptr, 0);
    }
    PKCS12_pack_authsafes(p, safes.get());
  };
  for (const std::function<void(PKCS12*)>& change : {std::function<void(PKCS12*)>(slow_mac), {slow_safe}}) {
    const auto* at = reinterpret_cast<const unsigned char*>(pfx.data());
    UniquePkcs12 changed(d2i_PKCS12(nullptr, &at, static_cast<long>(pfx.size())));
    change(changed.get());
    const std::string slow = Encoded(*changed);
    EXPECT_THAT(ReadBundle(slow, Sesame).status().message(), HasSubstr("hashed more than 5000000 times"));
    EXPECT_THAT(ServerCredential::FromPfx("web", slow, *Sesame()).status().message(),
                HasSubstr("hashed more than 5000000 times"));
  }
}

TEST_F(BundleTest, AServerCredentialTakesTheChainOfAPfxInAnyOrder) {
  const std::string pfx = *ToPfx(KeyAt(2), {leaf_, root_.certificate, sub_.certificate}, Secret(std::string("sesame")), "x");
  auto credential = ServerCredential::FromPfx("web", pfx, Secret(std::string("sesame")));
  ASSERT_TRUE(credential.ok()) << credential.status();
  EXPECT_THAT(Subjects((*credential)->chain()), ElementsAre("CN=alice", "CN=Sub", "CN=Root"));
}

TEST_F(BundleTest, LeafFirstPutsAChainInOrderAndLeavesOthersAsTheyAre) {
  EXPECT_THAT(Subjects(LeafFirst({root_.certificate, sub_.certificate, leaf_})),
              ElementsAre("CN=alice", "CN=Sub", "CN=Root"));
  EXPECT_THAT(Subjects(LeafFirst({leaf_, root_.certificate, sub_.certificate})),
              ElementsAre("CN=alice", "CN=Sub", "CN=Root"));
  EXPECT_THAT(Subjects(LeafFirst({root_.certificate})), ElementsAre("CN=Root"));
  EXPECT_THAT(LeafFirst({}), IsEmpty());
}

// A PFX of these safes under the password "sesame".
std::string PfxOf(UniqueSafes safes) {
  UniquePkcs12 pfx(PKCS12_init(NID_pkcs7_data));
  PKCS12_pack_authsafes(pfx.get(), safes.get());
  PKCS12_set_mac(pfx.get(), "sesame", -1, nullptr, 0, 1, EVP_sha256());
  return Encoded(*pfx);
}

PKCS7* EncryptedSafe(const CertificateRef& certificate, X509_ALGOR* algorithm) {
  UniqueBags bags(sk_PKCS12_SAFEBAG_new_null());
  sk_PKCS12_SAFEBAG_push(bags.get(), PKCS12_SAFEBAG_create_cert(certificate->x509()));
  PKCS7* safe = PKCS12_pack_p7encdata(NID_aes_256_cbc, "sesame", -1, nullptr, 0, 1, bags.get());
  if (algorithm != nullptr) {
    X509_ALGOR_free(safe->d.encrypted->enc_data->algorithm);
    safe->d.encrypted->enc_data->algorithm = algorithm;
  }
  return safe;
}

TEST_F(BundleTest, WhatSeveralPartsOfAPfxWouldCostIsCountedTogether) {
  UniqueSafes safes(sk_PKCS7_new_null());
  for (int i = 0; i < 3; ++i) {
    sk_PKCS7_push(safes.get(), EncryptedSafe(leaf_, PKCS5_pbe2_set(EVP_aes_256_cbc(), 2'000'000, nullptr, 0)));
  }
  const std::string slow = PfxOf(std::move(safes));
  EXPECT_THAT(ReadBundle(slow, Sesame).status().message(), HasSubstr("hashed more than 5000000 times"));
  EXPECT_THAT(ServerCredential::FromPfx("web", slow, *Sesame()).status().message(), HasSubstr("hashed more than 5000000 times"));
}

// OpenSSL bounds its memory only: this one takes 8 MiB, and minutes.
TEST_F(BundleTest, AScryptThatTakesMinutesIsRefusedAtOnce) {
  UniqueSafes safes(sk_PKCS7_new_null());
  X509_ALGOR* scrypt = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), nullptr, 0, nullptr, 32'768, 1, 32'768);
  sk_PKCS7_push(safes.get(), EncryptedSafe(leaf_, scrypt));
  const std::string slow = PfxOf(std::move(safes));
  EXPECT_THAT(ReadBundle(slow, Sesame).status().message(), HasSubstr("hashed more than 5000000 times"));
  EXPECT_THAT(ServerCredential::FromPfx("web", slow, *Sesame()).status().message(), HasSubstr("hashed more than 5000000 times"));
}

TEST_F(BundleTest, AKeyThatHidesInAnEncryptedSafeIsCountedToo) {
  UniqueBags bags(sk_PKCS12_SAFEBAG_new_null());
  sk_PKCS12_SAFEBAG_push(bags.get(), PKCS12_SAFEBAG_create_cert(leaf_->x509()));
  PKCS8_PRIV_KEY_INFO* key = EVP_PKEY2PKCS8(KeyAt(2));
  PKCS12_SAFEBAG* bag = PKCS12_SAFEBAG_create_pkcs8_encrypt(NID_aes_256_cbc, "sesame", -1, nullptr, 0, 1, key);
  PKCS8_PRIV_KEY_INFO_free(key);
  const X509_ALGOR* algorithm = nullptr;
  X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, nullptr);
  X509_ALGOR* slow_one = PKCS5_pbe2_set(EVP_aes_256_cbc(), 2'000'000'000, nullptr, 0);
  X509_ALGOR_copy(const_cast<X509_ALGOR*>(algorithm), slow_one);
  X509_ALGOR_free(slow_one);
  sk_PKCS12_SAFEBAG_push(bags.get(), bag);
  UniqueSafes safes(sk_PKCS7_new_null());
  sk_PKCS7_push(safes.get(), PKCS12_pack_p7encdata(NID_aes_256_cbc, "sesame", -1, nullptr, 0, 1, bags.get()));
  const std::string slow = PfxOf(std::move(safes));
  EXPECT_TRUE(ReadBundle(slow, Sesame).ok()) << "the key is not decrypted";
  EXPECT_THAT(ServerCredential::FromPfx("web", slow, *Sesame()).status().message(), HasSubstr("hashed more than 5000000 times"));
}

// OpenSSL takes a password for a C string: what follows a NUL would protect nothing.
TEST_F(BundleTest, APasswordWithANulIsRefused) {
  const Secret whole(std::string("a\0secret", 8));
  EXPECT_THAT(ToPfx(KeyAt(2), chain_, whole, "alice").status().message(), HasSubstr("password: holds a NUL"));
  const std::string pfx = *ToPfx(KeyAt(2), chain_, Secret(std::string("a")), "alice");
  EXPECT_THAT(ServerCredential::FromPfx("web", pfx, whole).status().message(), HasSubstr("password: holds a NUL"));
  EXPECT_THAT(ReadBundle(pfx, [] { return absl::StatusOr<Secret>(Secret(std::string("a\0secret", 8))); }).status().message(),
              HasSubstr("password: holds a NUL"));
}

TEST_F(BundleTest, AServerCredentialOfAPfxIsReadAsStrictlyAsABundle) {
  const std::string pfx = *ToPfx(KeyAt(2), chain_, *Sesame(), "alice");
  EXPECT_THAT(ServerCredential::FromPfx("web", pfx + "x", *Sesame()).status().message(), HasSubstr("is not PKCS#12"));
  UniquePkcs12 bare(PKCS12_create("sesame", "x", KeyAt(2), leaf_->x509(), nullptr, NID_aes_256_cbc, NID_aes_256_cbc, 1, -1, 0));
  const std::string without_mac = Encoded(*bare);
  EXPECT_THAT(ServerCredential::FromPfx("web", without_mac, *Sesame()).status().message(), HasSubstr("it has no MAC"));
  EXPECT_THAT(ReadBundle(without_mac, Sesame).status().message(), HasSubstr("it has no MAC"));
}

// As Windows and old programs write them: RC2, which OpenSSL 3 has no more.
TEST_F(BundleTest, OfAnOldCipherItIsSaidThatThePasswordIsNotToBlame) {
  UniqueSafes safes(sk_PKCS7_new_null());
  sk_PKCS7_push(safes.get(), EncryptedSafe(leaf_, PKCS5_pbe_set(NID_pbe_WithSHA1And40BitRC2_CBC, 2048, nullptr, 0)));
  const std::string old = PfxOf(std::move(safes));
  for (const absl::Status& status :
       {ReadBundle(old, Sesame).status(), ServerCredential::FromPfx("web", old, *Sesame()).status()}) {
    EXPECT_THAT(status.message(), HasSubstr("encrypted in a way that is not supported any more"));
  }
}

// Whoever looks at the file with another program sees the certificate that it is, and not what is written within.
TEST_F(BundleTest, ACertificateInDerIsNotTakenForThePemInsideOfIt) {
  MintRequest request = Request(Profile::kSelfSigned, "CN=harmless");
  request.extensions.push_back({"1.2.3.4", false, "\n" + root_.certificate->ToPem()});
  const CertificateRef outer = Make(request, KeyAt(9));
  auto bundle = ReadBundle(outer->der(), NoPassword);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_THAT(Subjects(bundle->certificates), ElementsAre("CN=harmless"));
  auto in_pkcs7 = ReadBundle(Pkcs7({outer}), NoPassword);
  ASSERT_TRUE(in_pkcs7.ok()) << in_pkcs7.status();
  EXPECT_THAT(Subjects(in_pkcs7->certificates), ElementsAre("CN=harmless"));
}

TEST_F(BundleTest, PemOfAnyLinesAndWithTextAroundIsRead) {
  std::string crlf = ChainToPem(chain_), one_line = leaf_->ToPem();
  for (size_t at = 0; (at = crlf.find('\n', at)) != std::string::npos; at += 2) crlf.replace(at, 1, "\r\n");
  const size_t first = one_line.find('\n') + 1, last = one_line.find("-----END");
  std::string base64 = one_line.substr(first, last - first);
  base64.erase(std::remove(base64.begin(), base64.end(), '\n'), base64.end());
  one_line = one_line.substr(0, first) + base64 + "\n" + one_line.substr(last);
  for (const auto& [text, count] : std::vector<std::pair<std::string, size_t>>{
           {crlf, 3},
           {one_line, 1},
           {"subject=CN=x -----BEG\n" + std::string(600, '#') + "\n" + ChainToPem(chain_) + "end", 3}}) {
    auto bundle = ReadBundle(text, NoPassword);
    ASSERT_TRUE(bundle.ok()) << bundle.status() << text.substr(0, 40);
    EXPECT_THAT(bundle->certificates, SizeIs(count));
  }
  for (size_t cut : {1, 2, 20, 200}) {
    const std::string pem = ChainToPem(chain_);
    auto bundle = ReadBundle(pem.substr(0, pem.size() - cut - 1), NoPassword);
    EXPECT_FALSE(bundle.ok()) << cut;
  }
}

}  // namespace
}  // namespace gatehouse::certs
