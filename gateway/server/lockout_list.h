// ListLockouts and ClearLockouts of LockoutService, as one gateway answers them.
//
// Threading:  any thread; not on a worker's loop.
// Errors:     INVALID_ARGUMENT naming the field.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/config/snapshot.h"
#include "gateway/server/lockout_desk.h"
#include "gatehouse/v1/lockout_service.pb.h"

namespace gatehouse::server {

absl::StatusOr<v1::ListLockoutsResponse> ListLockouts(const config::Snapshot& snapshot,
                                                      const v1::ListLockoutsRequest& request, const LockoutDesk& desk,
                                                      absl::Time now);
absl::StatusOr<v1::ClearLockoutsResponse> ClearLockouts(const config::Snapshot& snapshot,
                                                        const v1::ClearLockoutsRequest& request, LockoutDesk& desk);

}  // namespace gatehouse::server
