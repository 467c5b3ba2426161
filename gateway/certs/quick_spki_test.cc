#include "gateway/certs/quick_spki.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/dsa.h>
#include <openssl/rsa.h>

#include <map>

#include "gateway/certs/mint.h"
#include "gateway/certs/signing_request.h"
#include "gateway/certs/test_pki.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {
namespace {

// A key of any type that OpenSSL knows.
UniqueKey Generate(const char* type, const char* group = nullptr, int bits = 0) {
  UniqueKey parameters;
  EVP_PKEY* key = nullptr;
  if (std::string(type) == "DSA") {
    std::unique_ptr<EVP_PKEY_CTX, OpenSslDeleter<EVP_PKEY_CTX_free>> ctx(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
    EVP_PKEY* p = nullptr;
    EXPECT_EQ(EVP_PKEY_paramgen_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx.get(), bits), 1);
    EXPECT_EQ(EVP_PKEY_paramgen(ctx.get(), &p), 1);
    parameters.reset(p);
    ctx.reset(EVP_PKEY_CTX_new_from_pkey(nullptr, p, nullptr));
    EXPECT_EQ(EVP_PKEY_keygen_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_keygen(ctx.get(), &key), 1);
    return UniqueKey(key);
  }
  std::unique_ptr<EVP_PKEY_CTX, OpenSslDeleter<EVP_PKEY_CTX_free>> ctx(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EXPECT_EQ(EVP_PKEY_keygen_init(ctx.get()), 1);
  EXPECT_TRUE(group == nullptr || EVP_PKEY_CTX_set_group_name(ctx.get(), group) == 1);
  EXPECT_TRUE(bits == 0 || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx.get(), bits) == 1);
  EXPECT_EQ(EVP_PKEY_keygen(ctx.get(), &key), 1);
  return UniqueKey(key);
}

// What is said of a presented list: the outcome with its reason, or why its leaf could not be read.
std::string Say(const std::vector<std::string>& presented, const SchemeOptions& options) {
  std::vector<CertificateRef> chain;
  for (const std::string& der : presented) {
    absl::StatusOr<CertificateRef> certificate = Certificate::FromDer(der);
    if (!certificate.ok()) {
      if (chain.empty()) return "unreadable";
      continue;
    }
    chain.push_back(*std::move(certificate));
  }
  const Verdict v = Judge(chain, options, kTestNow);
  std::string text = v.outcome == Outcome::kValid ? "valid" : std::string(ReasonName(v.reason));
  return text + " " + std::to_string(chain.front()->key_bits()) + " " + chain.front()->defect();
}

// With the octets of `from` replaced by `to`, both of one length: no length in the DER changes.
std::string Replace(std::string der, absl::string_view from, absl::string_view to) {
  const size_t at = der.find(std::string(from));
  EXPECT_NE(at, std::string::npos);
  return der.replace(at, from.size(), std::string(to));
}

std::string Spki(EVP_PKEY* key) {
  unsigned char* out = nullptr;
  const int n = i2d_PUBKEY(key, &out);
  std::string der(reinterpret_cast<char*>(out), static_cast<size_t>(n));
  OPENSSL_free(out);
  return der;
}

// One process, one switch: everything is judged before it and after it, in one test.
TEST(QuickSpkiTest, NoVerdictChangesForAnyKeyTypeAndRsaAndEcKeysAreDecodedDirectly) {
  std::map<std::string, UniqueKey> keys;
  keys["rsa2048"] = Generate("RSA", nullptr, 2048);
  keys["rsa1024"] = Generate("RSA", nullptr, 1024);
  keys["p256"] = Generate("EC", "P-256");
  keys["p384"] = Generate("EC", "P-384");
  keys["p224"] = Generate("EC", "P-224");
  keys["ed25519"] = Generate("ED25519");
  keys["rsa-pss"] = Generate("RSA-PSS", nullptr, 2048);
  keys["dsa"] = Generate("DSA", nullptr, 2048);

  struct Case {
    std::vector<std::string> presented;
    SchemeOptions options;
  };
  std::map<std::string, Case> cases;
  std::map<std::string, std::string> leaves;  // DER by key type
  for (const auto& [name, key] : keys) {
    // As the key of a leaf, of an intermediate and of a root.
    const Authority root = Root("CN=Root", 0);
    SchemeOptions trust;
    trust.trust_store = Store({root.certificate});
    const CertificateRef leaf = *Mint(Request(Profile::kLeaf, "CN=leaf"), key.get(), root.signer());
    leaves[name] = leaf->der();
    cases[name + " leaf"] = {{leaf->der()}, trust};
    std::string forged = leaf->der();
    forged.back() = static_cast<char>(forged.back() ^ 1);
    cases[name + " leaf, signature changed"] = {{forged}, trust};
    SchemeOptions other = trust;
    other.trust_store = Store({Root("CN=Root", 3).certificate});
    cases[name + " leaf, another CA of the same name"] = {{leaf->der()}, other};
    const std::string spki = Spki(key.get());
    std::string broken = spki;
    broken[broken.size() / 2] = static_cast<char>(broken[broken.size() / 2] ^ 0x55);
    cases[name + " leaf, key changed"] = {{Replace(leaf->der(), spki, broken)}, trust};
    std::string truncated = spki;
    truncated.replace(truncated.size() - 8, 8, 8, '\0');
    cases[name + " leaf, key's end zeroed"] = {{Replace(leaf->der(), spki, truncated)}, trust};

    absl::StatusOr<CertificateRef> ca = Mint(Request(Profile::kIntermediate, "CN=Sub"), key.get(), root.signer());
    if (!ca.ok()) continue;
    absl::StatusOr<CertificateRef> below =
        Mint(Request(Profile::kLeaf, "CN=below"), KeyAt(9), Signer{ca->get(), key.get()});
    if (!below.ok()) continue;  // not every key signs what Mint asks of it
    cases[name + " intermediate"] = {{(*below)->der(), (*ca)->der()}, trust};
    std::string bad = (*below)->der();
    bad[bad.size() - 4] = static_cast<char>(bad[bad.size() - 4] ^ 1);
    cases[name + " intermediate, leaf's signature changed"] = {{bad, (*ca)->der()}, trust};
    cases[name + " intermediate, key changed"] = {{(*below)->der(), Replace((*ca)->der(), spki, broken)}, trust};
  }
  ASSERT_GT(cases.size(), 60u);

  std::map<std::string, std::string> before;
  for (const auto& [name, c] : cases) before[name] = Say(c.presented, c.options);
  EXPECT_THAT(before["p256 leaf"], ::testing::StartsWith("valid"));
  EXPECT_THAT(before["rsa2048 leaf"], ::testing::StartsWith("valid"));
  EXPECT_THAT(before["p256 leaf, signature changed"], ::testing::Not(::testing::StartsWith("valid")));
  EXPECT_THAT(before["p384 leaf, key changed"], ::testing::Not(::testing::StartsWith("valid")));

  const absl::Status used = UseQuickSpkiDecoder();
  ASSERT_TRUE(used.ok()) << used;
  for (const auto& [name, c] : cases) EXPECT_EQ(Say(c.presented, c.options), before[name]) << name;

  // It is the direct decoder indeed: its keys have no provider.
  for (const auto& [name, der] : leaves) {
    absl::StatusOr<CertificateRef> leaf = Certificate::FromDer(der);
    ASSERT_TRUE(leaf.ok()) << name;
    const bool direct = name.substr(0, 4) == "rsa1" || name.substr(0, 4) == "rsa2" || name[0] == 'p';
    EXPECT_EQ(EVP_PKEY_get0_provider((*leaf)->key()) == nullptr, direct) << name;
  }
}

TEST(QuickSpkiTest, KeysAndCertificatesAreMadeWithItToo) {
  ASSERT_TRUE(UseQuickSpkiDecoder().ok());
  for (KeyType type : {KeyType::kRsa2048, KeyType::kP256, KeyType::kP384, KeyType::kEd25519}) {
    absl::StatusOr<UniqueKey> key = MintKey(type);
    ASSERT_TRUE(key.ok()) << key.status();
    absl::StatusOr<std::string> request = MintSigningRequest(key->get());
    ASSERT_TRUE(request.ok()) << request.status();
    absl::StatusOr<UniqueKey> asked = KeyOfSigningRequest(*request);
    ASSERT_TRUE(asked.ok()) << asked.status();
    EXPECT_EQ(EVP_PKEY_eq(asked->get(), key->get()), 1);
    MintRequest mint;
    mint.profile = Profile::kCa;
    mint.subject = "CN=authority";
    mint.not_before = kTestNow - absl::Hours(1);
    mint.not_after = kTestNow + absl::Hours(1);
    absl::StatusOr<CertificateRef> authority = Mint(mint, key->get());
    ASSERT_TRUE(authority.ok()) << authority.status();
    EXPECT_EQ((*authority)->self_signed(), true);
  }
}

}  // namespace
}  // namespace gatehouse::certs
