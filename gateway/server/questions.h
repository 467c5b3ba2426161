// Answer answers what the control plane asks a gateway, whichever way the question came.
//
// Threading:  any thread; not on a worker's loop: an explanation takes some milliseconds, and may wait for fetches.
// Errors:     in the answer: those of Explain, ListTrust, LockoutService and ListEndpoints; UNAVAILABLE before the first configuration.
#pragma once

#include "absl/time/time.h"
#include "gateway/server/gateway.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::server {

v1::Answer Answer(Gateway& gateway, const v1::Question& question, absl::Time now);

}  // namespace gatehouse::server
