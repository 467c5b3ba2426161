// ListEndpoints of UpstreamService, as one gateway answers it.
//
// Threading:  any thread; not on a worker's loop.
// Errors:     NOT_FOUND: there is no such upstream in force.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/config/snapshot.h"
#include "gateway/upstream/directory.h"
#include "gatehouse/v1/upstream_service.pb.h"

namespace gatehouse::server {

absl::StatusOr<v1::ListEndpointsResponse> ListEndpoints(const config::Snapshot& snapshot,
                                                        const v1::ListEndpointsRequest& request,
                                                        const upstream::Directory& directory);

}  // namespace gatehouse::server
