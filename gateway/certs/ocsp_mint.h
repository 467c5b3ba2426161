// Makes OCSP answers, for test responders and for tests.
//
// Threading:  pure.
// Units:      times are wall-clock, whole seconds.
// Errors:     kInvalidArgument naming the field.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/certs/mint.h"
#include "gateway/certs/ocsp.h"

namespace gatehouse::certs {

struct MintOcspSingle {
  CertificateRef subject;
  OcspStatus status = OcspStatus::kGood;
  absl::Time this_update;
  std::optional<absl::Time> next_update;
  absl::Time revoked;                      // kRevoked
  std::optional<RevocationReason> reason;  // kRevoked
};

struct MintOcspRequest {
  CertificateRef issuer;  // of every subject
  std::vector<MintOcspSingle> answers;
  absl::Time produced_at;
  std::string nonce;                         // empty: none
  std::vector<CertificateRef> certificates;  // sent along
  bool by_key = false;                       // name the responder by its key's hash
  bool sha256_ids = false;                   // CertIDs by SHA-256 instead of SHA-1
  std::vector<MintExtension> extensions;     // of the whole answer
  std::string digest;                        // OpenSSL's name; empty: SHA-256
};

// MintOcspAnswer returns the DER of an OCSPResponse.
absl::StatusOr<std::string> MintOcspAnswer(const MintOcspRequest& request, Signer responder);
// One that says why there is no answer: 1 malformedRequest, 2 internalError, 3 tryLater, 5 sigRequired, 6 unauthorized.
std::string MintOcspError(int status);

}  // namespace gatehouse::certs
