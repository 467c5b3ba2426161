// Any octets as an OCSP answer about a certificate whose issuer's key was made for this process: nothing may be believed.
#include <cstdint>
#include <cstdlib>

#include "gateway/certs/mint.h"
#include "gateway/certs/ocsp.h"

namespace gatehouse::certs {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

struct Pair {
  CertificateRef issuer, subject;
};

const Pair& TheirPair() {
  static const Pair* const pair = [] {
    UniqueKey key = *MintKey(KeyType::kP256);
    MintRequest ca;
    ca.profile = Profile::kCa;
    ca.subject = "CN=Root,O=Example";
    ca.not_before = kNow - absl::Hours(1);
    ca.not_after = kNow + absl::Hours(1);
    auto* out = new Pair();
    out->issuer = *Mint(ca, key.get());
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
