// Any octets as an OCSP answer about a certificate whose issuer's private key nobody has: nothing may be believed. The
// public key is fixed, so that the answers of the corpus are about this certificate.
#include <openssl/pem.h>

#include <cstdint>
#include <cstdlib>

#include "gateway/certs/mint.h"
#include "gateway/certs/ocsp.h"

namespace gatehouse::certs {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

constexpr char kIssuerKey[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfDix0oYxqDMEDlyfxSk2pxilzgYU\n"
    "+qBi86ukkbHpCjRJcMliO584Z4CCvudLaN+ou08ErYR4TN04fYG+uEHylg==\n"
    "-----END PUBLIC KEY-----\n";

struct Pair {
  CertificateRef issuer, subject;
};

const Pair& TheirPair() {
  static const Pair* const pair = [] {
    UniqueBio bio = MemoryBio(kIssuerKey);
    UniqueKey issuer_key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
    UniqueKey key = *MintKey(KeyType::kP256);
    MintRequest ca;
    ca.profile = Profile::kCa;
    ca.subject = "CN=Root,O=Example";
    ca.not_before = kNow - absl::Hours(1);
    ca.not_after = kNow + absl::Hours(1);
    auto* out = new Pair();
    const CertificateRef parent = *Mint(ca, key.get());
    ca.profile = Profile::kIntermediate;
    out->issuer = *Mint(ca, issuer_key.get(), Signer{parent.get(), key.get()});
    MintRequest leaf = ca;
    leaf.profile = Profile::kLeaf;
    leaf.subject = "CN=alice";
    leaf.serial = "\x51";
    out->subject = *Mint(leaf, key.get(), Signer{out->issuer.get(), key.get()});
    return out;
  }();
  return *pair;
}

}  // namespace
}  // namespace gatehouse::certs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse::certs;
  const Pair& pair = TheirPair();
  OcspCheck check;
  check.now = kNow;
  check.nonce = "0123456789abcdef";
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  if (ReadOcspAnswer(input, *pair.subject, *pair.issuer, check).ok()) std::abort();
  return 0;
}
