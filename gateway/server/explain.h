// Explain tells how a certificate would be judged under a snapshot, step by step, by the code that judges requests:
// certs::Judge for each scheme, authn::Decide for each route.
//
// Possession is taken for granted: whoever asks holds no key, only the chain.
//
// Threading:  pure; any thread. Some milliseconds for a big route table: not on a worker's loop.
// Errors:     INVALID_ARGUMENT (chain, a scheme that is no certificate scheme), NOT_FOUND (scheme, route).
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/config/snapshot.h"
#include "gatehouse/v1/certificate_service.pb.h"

namespace gatehouse::server {

// The request's `at` counts before `now`; its `gateway` is not looked at.
absl::StatusOr<v1::ExplainResponse> Explain(const config::Snapshot& snapshot, const v1::ExplainRequest& request,
                                            absl::Time now);

}  // namespace gatehouse::server
