// Verdict is what a scheme says about a presented certificate: data, never a string.
//
// Ownership:  a value; certificates are shared.
// Threading:  immutable once returned.
// Units:      fresh_until is wall-clock: not to be believed after it.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "gateway/base/reason.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/revocation.h"

namespace gatehouse::certs {

enum class Outcome : uint8_t { kValid, kInvalid, kIndeterminate };

struct Verdict {
  Outcome outcome = Outcome::kInvalid;
  Reason reason = Reason::kUnknownIssuer;  // kNone when valid
  absl::Time fresh_until = absl::InfinitePast();
  CertificateRef leaf;
  // Validated: leaf first, anchor last. Empty when pinned, when accepted by self_signed_trust ANY, or not valid.
  std::vector<CertificateRef> path;
  bool pinned = false;
  bool by_key = false;  // pinned, by its key and not itself: nobody vouches for its names
  bool any_self_signed = false;  // accepted by the development option: to be marked on every event
  // kIndeterminate: what, when asked, could decide. Only of candidates whose path is verified.
  std::vector<Inquiry> inquiries;
};

}  // namespace gatehouse::certs
