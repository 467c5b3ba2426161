// Signatures over raw octets: what lists and OCSP answers are verified by, and how strong a signature must be.
//
// The message is hashed once, when it is read: a list of a hundred megabytes is then verified with any key in the time
// of one public-key operation. EdDSA cannot be split so; its messages are bounded.
//
// Ownership:  a SignedMessage holds views; the octets must outlive it.
// Threading:  immutable; any thread.
// Errors:     kInvalidArgument with the cause.
#pragma once

#include <openssl/evp.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxEdDsaMessage = 4 * 1024 * 1024;

struct Strength {
  int min_rsa_bits = 2048;
  int min_ec_bits = 256;
  int max_rsa_bits = 8192;         // a bigger modulus only costs the verifier
  bool allow_sha1 = false;         // these two for conformance tests with old certificates
  bool allow_dsa = false;
};

// Whether signatures over this digest (OpenSSL's number) are accepted.
bool AcceptsDigest(int digest_nid, const Strength& strength);

class SignedMessage {
 public:
  SignedMessage() = default;
  // `algorithm` is the DER of an AlgorithmIdentifier, `signature` the octets of the BIT STRING.
  static absl::StatusOr<SignedMessage> Create(absl::string_view message, absl::string_view algorithm,
                                              absl::string_view signature);

  // Accepts and IsSignedBy. The key's own strength is the caller's to check.
  absl::Status Verify(EVP_PKEY* key, const Strength& strength) const;
  // Whether the signature's algorithm is not weaker than allowed.
  absl::Status Accepts(const Strength& strength) const;
  absl::Status IsSignedBy(EVP_PKEY* key) const;

 private:
  struct Pss {
    int mask_digest_nid = 0;
    int salt_size = 0;
  };
  static absl::Status ReadPss(absl::string_view parameters, SignedMessage* out);

  absl::string_view message_, signature_;
  int algorithm_nid_ = 0;
  int digest_nid_ = 0;  // NID_undef for EdDSA
  int key_nid_ = 0;     // EVP_PKEY's number of the kind of key that makes such signatures
  Pss pss_;
  std::string digest_;
};

}  // namespace gatehouse::certs
