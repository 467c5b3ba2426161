// Reason says why a request or connection was refused: one closed set, the same word in event, log, metric label and
// explanation. The numbers are those of gatehouse.v1.Reason (proto/gatehouse/v1/reason.proto; a test compares them).
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace gatehouse {

enum class Reason : uint8_t {
  kNone = 0,  // nothing was refused
  kNoCertificate = 1,
  kMalformedCertificate = 2,
  kTypeNotAllowed = 3,
  kUnknownIssuer = 4,
  kNotPinned = 5,
  kNotYetValid = 6,
  kExpired = 7,
  kWrongUse = 8,
  kConstraintViolation = 9,
  kWeakKeyOrSignature = 10,
  kRequirementNotMet = 11,
  kRevoked = 12,
  kRevocationUnknown = 13,
  kPossessionNotProven = 14,
  kNoCredentials = 15,
  kMalformedCredentials = 16,
  kUnknownUser = 17,
  kWrongPassword = 18,
  kUserDisabled = 19,
  kLockedOut = 20,
  kVerifierOverloaded = 21,
  kPolicyNotMet = 22,
  kTrustWithdrawn = 23,
  kHandshakeFailed = 24,
  kMisdirected = 25,
  kMalformedRequest = 26,   // framing, path, authority, header or size refused by the perimeter
  kNoRoute = 27,            // 404
  kMethodNotAllowed = 28,   // 405
  kUpstreamUnavailable = 29,  // 502, 503, 504
  kIdentityNotEncodable = 30,  // an identity header's value is over its cap or not encodable
  kLimitExceeded = 31,      // flood, rapid reset, rate or size limit
  kBadSignature = 32,       // a signature of the path does not verify
  kVerifierUnavailable = 33,  // the service that decides credentials gave no answer that counts: 503
  kAuditUnavailable = 34,  // the route's events must be kept, and this one could not be: 503
};
inline constexpr int kReasonCount = 35;

// ReasonName returns the proto's word, e.g. "UNKNOWN_ISSUER"; kNone is "".
absl::string_view ReasonName(Reason reason);

}  // namespace gatehouse
