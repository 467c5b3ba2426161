// Status of the client library: absl::Status with gRPC's codes, and the violations that came with it as a payload.
#pragma once

#include <grpcpp/support/status.h>

#include <vector>

#include "absl/status/status.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::client {

// FromGrpc keeps code and message; a v1.Violations among the error details becomes a payload.
absl::Status FromGrpc(const grpc::Status& status);

// WithViolations returns `status` with these attached.
absl::Status WithViolations(absl::Status status, const v1::Violations& violations);
// ViolationsOf returns what WithViolations or the server attached; empty when nothing was.
std::vector<v1::Violation> ViolationsOf(const absl::Status& status);

// OfChange marks a change's failure that leaves open whether the server acted: it, or the answer, did not get through.
absl::Status OfChange(absl::Status status);
// MayHaveActed says whether OfChange marked it.
bool MayHaveActed(const absl::Status& status);

}  // namespace gatehouse::client
