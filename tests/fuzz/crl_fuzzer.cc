// Any octets as a CRL. What is read must agree with OpenSSL on every entry that OpenSSL reads from it, and no list but
// the seed's own may be verified by its signer's key.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/escaping.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/mint.h"

namespace gatehouse::certs {
namespace {

// Made for this process: no input can be signed with it.
EVP_PKEY* ProcessKey() {
  static UniqueKey* const key = new UniqueKey(*MintKey(KeyType::kP256));
  return key->get();
}

std::string Octets(const ASN1_INTEGER* integer) {
  unsigned char* der = nullptr;
  const int size = i2d_ASN1_INTEGER(integer, &der);
  if (size < 2) return "";
  const unsigned char* p = der;
  long content = 0;
  int tag = 0, cls = 0;
  ASN1_get_object(&p, &content, &tag, &cls, size);
  std::string out(reinterpret_cast<const char*>(p), static_cast<size_t>(content));
  OPENSSL_free(der);
  return out;
}

}  // namespace
}  // namespace gatehouse::certs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse::certs;
  const std::string input(reinterpret_cast<const char*>(data), size);
  (void)Crl::ListFromPem(input);
  absl::StatusOr<CrlRef> crl = Crl::FromDer(input);
  if (!crl.ok()) return 0;
  if ((*crl)->VerifySignature(ProcessKey(), {}).ok()) std::abort();
  if (!(*crl)->MayBeReplacedBy(**crl)) std::abort();
  (*crl)->Find((*crl)->issuer_der(), "\x01");

  const unsigned char* p = data;
  gatehouse::UniqueCrl theirs(d2i_X509_CRL(nullptr, &p, static_cast<long>(size)));
  if (theirs == nullptr || (*crl)->indirect()) return 0;
  STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(theirs.get());
  const int count = entries == nullptr ? 0 : sk_X509_REVOKED_num(entries);
  if (static_cast<size_t>(count) != (*crl)->size()) std::abort();
  for (int i = 0; i < count; ++i) {
    const std::string serial =
        Octets(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i)));
    if (!(*crl)->Find((*crl)->issuer_der(), serial)) std::abort();
  }
  return 0;
}
