// Work counts what one judgement has cost, and says when a presentation has cost enough.
//
// A caller decides what is put before the judge: hundreds of certificates of one name, thousands of constraints. Each
// bound is ten times what an ordinary path of three certificates takes, or less; what it does not allow is refused.
//
// Threading:  thread-compatible; one a judgement.
// Units:      operations, not time.
#pragma once

#include <cstdint>

namespace gatehouse::certs {

struct Work {
  static constexpr uint32_t kMaxSignatures = 20;     // verified
  static constexpr uint32_t kMaxEdges = 512;         // issuers tried for a certificate, by name
  static constexpr uint32_t kMaxComparisons = 8192;  // of a name with a constraint, of a policy with a policy
  static constexpr uint32_t kMaxCandidates = 32;     // whole paths looked at

  uint32_t signatures = 0;
  uint32_t edges = 0;
  uint32_t comparisons = 0;
  uint32_t candidates = 0;

  bool exhausted() const {
    return signatures > kMaxSignatures || edges > kMaxEdges || comparisons > kMaxComparisons ||
           candidates > kMaxCandidates;
  }
};

}  // namespace gatehouse::certs
