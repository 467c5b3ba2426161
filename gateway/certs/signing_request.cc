#include "gateway/certs/signing_request.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "gateway/certs/exponent.h"

namespace gatehouse::certs {
namespace {

using UniqueRequest = std::unique_ptr<X509_REQ, OpenSslDeleter<X509_REQ_free>>;

bool Taken(EVP_PKEY* key) {
  switch (EVP_PKEY_base_id(key)) {
    case EVP_PKEY_ED25519: return true;
    case EVP_PKEY_RSA: return EVP_PKEY_bits(key) >= 2048 && EVP_PKEY_bits(key) <= 4096 && HasModestExponent(key);
    case EVP_PKEY_EC: {
      char group[32] = "";
      size_t size = 0;
      if (EVP_PKEY_get_group_name(key, group, sizeof group, &size) != 1) return false;
      const absl::string_view name(group, size);
      return name == "prime256v1" || name == "secp384r1";
    }
    default: return false;
  }
}

}  // namespace

absl::StatusOr<std::string> MintSigningRequest(EVP_PKEY* key) {
  UniqueRequest request(X509_REQ_new());
  const EVP_MD* digest = EVP_PKEY_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  if (request == nullptr || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key) != 1 || X509_REQ_sign(request.get(), key, digest) <= 0) {
    return OpenSslError("signing request");
  }
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size <= 0) return OpenSslError("signing request");
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

absl::StatusOr<UniqueKey> KeyOfSigningRequest(absl::string_view der) {
  if (der.size() > kMaxSigningRequest) return absl::InvalidArgumentError("signing_request: over 16 KiB");
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  UniqueRequest request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (request == nullptr || at != reinterpret_cast<const unsigned char*>(der.data()) + der.size()) {
    TakeOpenSslError();
    return absl::InvalidArgumentError("signing_request: is not a PKCS#10 request in DER");
  }
  UniqueKey key(X509_REQ_get_pubkey(request.get()));
  if (key == nullptr || !Taken(key.get())) {
    TakeOpenSslError();
    return absl::InvalidArgumentError("signing_request: the key must be P-256, P-384, Ed25519, or RSA of 2048 to 4096 bits "
                                      "with a usual exponent");
  }
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    TakeOpenSslError();
    return absl::InvalidArgumentError("signing_request: is not signed by its own key");
  }
  return key;
}

}  // namespace gatehouse::certs
