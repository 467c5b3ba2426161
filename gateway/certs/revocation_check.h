// The revocation step of a judgement: what lists and OCSP answers at hand say about each certificate of a verified path.
//
// Threading:  pure.
// Errors:     none; what nobody can say is unknown, and decided by `on_unknown`.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "gateway/certs/options.h"
#include "gateway/certs/path.h"
#include "gateway/certs/revocation.h"

namespace gatehouse::certs {

struct RevocationResult {
  enum class Decision : uint8_t {
    kPassed,
    kAllowed,    // not known, and `on_unknown` allows it
    kUndecided,  // `inquiries` could decide
    kRefused,
  };
  Decision decision = Decision::kPassed;
  std::vector<Finding> findings;      // one for each certificate looked at; the failing one is the last
  std::vector<Inquiry> inquiries;     // kUndecided only
  absl::Time believed_until = absl::InfiniteFuture();
};

// REQUIRES: PathVerifier::Verify(path) passed; options.revocation.mode is not kNoCheck. `source` may be null.
RevocationResult CheckRevocation(const Path& path, const SchemeOptions& options, absl::Time now,
                                 const RevocationSource* source);

// How long an acceptance by `on_unknown` stands before it is judged again.
inline constexpr absl::Duration kAllowedAge = absl::Seconds(30);

}  // namespace gatehouse::certs
