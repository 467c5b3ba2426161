// Mint makes keys and certificates, for `gatehousectl cert new` and for tests.
//
// Ownership:  keys are the caller's.
// Threading:  pure, save for the system's random numbers.
// Units:      times are wall-clock, whole seconds.
// Errors:     kInvalidArgument naming the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/openssl.h"
#include "gateway/base/secret.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::certs {

enum class KeyType : uint8_t { kRsa2048, kRsa3072, kRsa4096, kP256, kP384, kEd25519 };
// "rsa2048", "rsa3072", "rsa4096", "p256", "p384", "ed25519" (and "rsa" = rsa2048, "ecdsa" = p256).
absl::StatusOr<KeyType> ParseKeyType(absl::string_view name);
absl::StatusOr<UniqueKey> MintKey(KeyType type);

enum class Profile : uint8_t {
  kSelfSigned,    // a leaf signed by its own key; CA:FALSE
  kCa,            // a self-signed root
  kIntermediate,  // a CA signed by another
  kLeaf,          // signed by a CA
};

struct MintExtension {
  std::string oid;  // dotted or OpenSSL's name
  bool critical = false;
  std::string der;  // the extension's value
};

struct MintRequest {
  Profile profile = Profile::kSelfSigned;
  // RFC 4514 text, most specific first: "CN=alice,O=Example". Required.
  std::string subject;
  std::vector<San> sans;
  bool client_use = true;   // EKU clientAuth; neither = no EKU extension. Leaves only.
  bool server_use = false;  // EKU serverAuth
  absl::Time not_before;    // required
  absl::Time not_after;     // required, inclusive
  // Content octets of the INTEGER, at most 20. Empty: 16 random octets.
  std::string serial;
  std::optional<int> path_length;  // CAs
  // Added last; one with an OID that the profile sets replaces it. An empty `der` only removes it.
  std::vector<MintExtension> extensions;
};

// Signer is who signs: a CA's certificate and its key, both outliving the call.
struct Signer {
  const Certificate* certificate = nullptr;
  EVP_PKEY* key = nullptr;
};

// Mint makes a certificate for `key`. `signer` is required for kIntermediate and kLeaf and refused for the others; its
// certificate may issue whatever it wants to in tests, so nothing but its name and key is looked at.
absl::StatusOr<CertificateRef> Mint(const MintRequest& request, EVP_PKEY* key,
                                    std::optional<Signer> signer = std::nullopt);

// PKCS#8 PEM, unencrypted.
absl::StatusOr<Secret> KeyToPem(EVP_PKEY* key);
absl::StatusOr<UniqueKey> KeyFromPem(absl::string_view pem);
std::string ChainToPem(absl::Span<const CertificateRef> chain);
// PKCS#12 (AES-256, SHA-256 MAC) with the key, the leaf and the further certificates of `chain`.
absl::StatusOr<std::string> ToPfx(EVP_PKEY* key, absl::Span<const CertificateRef> chain, const Secret& password,
                                  absl::string_view friendly_name);

}  // namespace gatehouse::certs
