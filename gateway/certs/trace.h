// Trace is the story of a judgement, for Explain: every step of every candidate path, in the order taken.
//
// Ownership:  the caller's; Judge appends.
// Threading:  thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/base/reason.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/work.h"

namespace gatehouse::certs {

struct TraceStep {
  uint32_t candidate = 0;
  std::string step;  // "form", "type", "path", "validity", "use", "require", "revocation"
  bool ok = false;
  Reason reason = Reason::kNone;
  std::string certificate;  // subject of the certificate that the step is about, as it stands: escape before printing
  std::string detail;
};

// TracePath is a path to an anchor that was looked at.
struct TracePath {
  uint32_t candidate = 0;
  std::vector<CertificateRef> certificates;  // leaf first, anchor last
};

struct Trace {
  std::vector<TraceStep> steps;
  std::vector<TracePath> paths;
  Work work;  // what the judgement cost
};

}  // namespace gatehouse::certs
