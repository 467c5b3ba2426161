// Explain tells how a certificate would be judged under a snapshot, step by step, by the code that judges requests:
// certs::Judge for each scheme, authn::Decide for each route; how listeners ask clients for theirs; and what a certificate, a
// user, or both together may do on a route, with its policies clause by clause.
//
// Possession is taken for granted, and passwords to be right: whoever asks has the chain and a name, no more.
//
// Threading:  any thread that may wait: unless the request says offline, open questions of revocation are asked, up to the
//             scheme's timeout. Some milliseconds for a big route table: not on a worker's loop.
// Errors:     INVALID_ARGUMENT (chain, a scheme that is no certificate scheme and that no service decides, user, address),
//             NOT_FOUND (scheme, route, listener, user store, a presented chain that is no longer remembered).
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/config/snapshot.h"
#include "gateway/delegate/desk.h"
#include "gateway/server/presented_chains.h"
#include "gateway/server/revocation_desk.h"
#include "gatehouse/v1/certificate_service.pb.h"

namespace gatehouse::server {

// What a gateway knows besides its configuration. Each may be null.
struct ExplainSources {
  const PresentedChains* presented = nullptr;
  RevocationDesk* revocation = nullptr;
  const delegate::Desk* validators = nullptr;
};

// The request's `at` counts before `now`; its `gateway` and `event` are not looked at.
absl::StatusOr<v1::ExplainResponse> Explain(const config::Snapshot& snapshot, const v1::ExplainRequest& request,
                                            absl::Time now, const ExplainSources& sources = {});

}  // namespace gatehouse::server
