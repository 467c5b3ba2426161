// TryPolicy answers PolicyService.TestPolicy from a stored configuration, with the code that decides live requests.
//
// Threading:  pure; milliseconds for thousands of policies: not on a gRPC thread.
// Errors:     INVALID_ARGUMENT (with every violation where policies are wrong), NOT_FOUND (policy).
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/store/store.h"
#include "gatehouse/v1/policy_service.pb.h"

namespace gatehouse::api {

absl::StatusOr<v1::TestPolicyResponse> TryPolicy(const store::State& state, const v1::TestPolicyRequest& request,
                                                 absl::Time now);

}  // namespace gatehouse::api
