// FindEvent looks for one event: by its cursor among all that are kept, in the archive too; by a request id among those that
// the hub has in memory.
//
// Threading:  any thread; some ten milliseconds when the hub is full and a request id is asked for: not on a gRPC thread.
// Errors:     INVALID_ARGUMENT (neither a cursor nor a request id), NOT_FOUND (not kept, or not any more),
//             RESOURCE_EXHAUSTED (watchers).
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/events/hub.h"

namespace gatehouse::hub {

// `id` is a cursor, `INCARNATION:SEQUENCE`, or a request id; of a request with several events the newest is returned.
absl::StatusOr<v1::Event> FindEvent(Hub& hub, absl::string_view id);

}  // namespace gatehouse::hub
