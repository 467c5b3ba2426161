// LiveJudge judges for Explain as a live request is judged: with what the gateway knows of revocation, and, unless it is to
// stay offline, by having open inquiries asked and waiting for the answers as long as a request would.
//
// Ownership:  the desk outlives it.
// Threading:  one thread; blocks up to the scheme's `revocation.timeout`: not on a worker's loop.
// Errors:     none; what nobody answered in time is decided by `on_unknown`.
#pragma once

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/certs/validator.h"
#include "gateway/server/revocation_desk.h"

namespace gatehouse::server {

// `desk` may be null: nothing is known but the trust store's own lists.
certs::Verdict JudgeLive(absl::Span<const certs::CertificateRef> chain, const certs::SchemeOptions& options, absl::Time at,
                         RevocationDesk* desk, bool offline, certs::Trace* trace);

}  // namespace gatehouse::server
