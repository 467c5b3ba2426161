// Judge decides whether a presented certificate is accepted by a scheme.
//
// Steps for each candidate path: form, type, path, validity, use, require, revocation. Any candidate that passes all
// accepts; otherwise the reason is that of the candidate that got furthest. A pinned certificate needs no path.
// `revocation` is what is known of revocation beyond the trust store's own lists; null: nothing is, and nobody may be
// asked. See revocation.h for kIndeterminate.
//
// Possession is NOT checked here: the caller must hold a completed handshake before it believes or stores a verdict.
//
// Threading:  pure; any thread.
// Units:      at most kMaxPresented certificates are looked at; what a judgement may cost is in Work.
// Errors:     never; what cannot be judged is invalid.
#pragma once

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/options.h"
#include "gateway/certs/revocation.h"
#include "gateway/certs/trace.h"
#include "gateway/certs/verdict.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxPresented = 16;

// `presented` is leaf first, the rest in any order. An empty list is kNoCertificate. `revocation` and `trace` may be null.
Verdict Judge(absl::Span<const CertificateRef> presented, const SchemeOptions& options, absl::Time now,
              const RevocationSource* revocation = nullptr, Trace* trace = nullptr);

}  // namespace gatehouse::certs
