// A gateway's PKCS#10: made where the key is, read where the certificate is made.
//
// Threading:  pure functions.
// Errors:     INVALID_ARGUMENT: not a request, not signed by its own key, or a key that is not taken.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/openssl.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxSigningRequest = 16 * 1024;

// DER, signed by `key`; of its content only the public key will count.
absl::StatusOr<std::string> MintSigningRequest(EVP_PKEY* key);

// The public key of a request that its private key signed: P-256, P-384, Ed25519, or RSA of 2048 to 4096 bits.
absl::StatusOr<UniqueKey> KeyOfSigningRequest(absl::string_view der);

}  // namespace gatehouse::certs
