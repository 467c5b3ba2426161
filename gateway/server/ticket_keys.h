// The keys of session tickets as they come from a control plane.
//
// Errors: INVALID_ARGUMENT naming the field, never its content.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "gateway/tls/ticket_keys.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::server {

absl::StatusOr<std::vector<tls::TicketKey>> TicketKeysOf(const v1::TicketKeys& message);

}  // namespace gatehouse::server
