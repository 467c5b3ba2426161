#include "gateway/certs/bundle.h"

#include <openssl/pkcs7.h>

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
  EXPECT_THAT(ReadBundle(Pkcs7(chain_) + "x", NoPassword).status().message(), HasSubstr("neither PEM nor DER"));
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
    unsigned char* der = nullptr;
    const int size = i2d_PKCS12(changed.get(), &der);
    const std::string slow(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    const auto password = []() -> absl::StatusOr<Secret> { return Secret(std::string("sesame")); };
    EXPECT_THAT(ReadBundle(slow, password).status().message(), HasSubstr("hashed more than 5000000 times"));
    EXPECT_THAT(ServerCredential::FromPfx("web", slow, Secret(std::string("sesame"))).status().message(),
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

}  // namespace
}  // namespace gatehouse::certs
