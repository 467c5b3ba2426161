// OCSP (RFC 6960): requests that ask for one certificate, and answers that were verified when they came in.
//
// Ownership:  answers are immutable, shared as OcspAnswerRef.
// Threading:  pure.
// Units:      times are wall-clock.
// Errors:     kInvalidArgument: not an answer, or a wrong one (signature, certificate, nonce, time); kUnavailable: the
//             responder says so itself (tryLater, internalError, unauthorized, sigRequired, malformedRequest).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/options.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxOcspSize = 64 * 1024;

enum class OcspStatus : uint8_t { kGood, kRevoked, kUnknown };

struct OcspAnswer {
  OcspStatus status = OcspStatus::kUnknown;
  absl::Time this_update;
  std::optional<absl::Time> next_update;
  absl::Time produced_at;
  absl::Time received;  // when it came: `max_age` counts from then
  bool has_nonce = false;  // the one that was sent: it was made for us, and is no replay
  absl::Time revoked;  // kRevoked
  RevocationReason reason = RevocationReason::kUnspecified;
  std::string responder;  // RFC 4514 name of the certificate that signed
  // Who signed, when it was not the issuer itself; and whether its certificate says that it need not be checked
  // (id-pkix-ocsp-nocheck). Without that Judge looks for it in the lists held, and believes the answer for minutes only.
  CertificateRef delegate;
  bool nocheck = false;
  std::string url;        // where it came from; empty: unknown. Set by whoever fetched
  std::string der;        // as received, for the cache on disk

  // From when it counts that it promises no successor.
  absl::Time made() const { return has_nonce ? received : this_update; }
};
using OcspAnswerRef = std::shared_ptr<const OcspAnswer>;

// DER of an OCSPRequest with a SHA-1 CertID (what responders know) and, unless empty, the nonce.
absl::StatusOr<std::string> MakeOcspRequest(const Certificate& subject, const Certificate& issuer,
                                            absl::string_view nonce);

struct OcspCheck {
  absl::Time now;
  absl::Duration skew = absl::Minutes(5);  // tolerated of thisUpdate and nextUpdate
  std::string nonce;    // that was sent; an answer without one is tolerated, another one refused. Empty: not looked at
  Strength strength;    // of the responder's key and signature
};

// ReadOcspAnswer verifies an OCSPResponse: that it is about `subject`, is signed by `issuer` itself or by a delegate that
// `issuer` issued with id-kp-OCSPSigning, is current, and matches the nonce. Of several answers about `subject` the one
// with the newest thisUpdate counts.
absl::StatusOr<OcspAnswerRef> ReadOcspAnswer(absl::string_view der, const Certificate& subject,
                                             const Certificate& issuer, const OcspCheck& check);

}  // namespace gatehouse::certs
