// The one place where events meet the proto: what the uplink and the embedded hub are told.
//
// Errors: text that is not UTF-8 (a path, a name in a certificate) is escaped, since a proto string must be; valid text
//         is passed as it is, and escaped by whoever prints it.
#pragma once

#include "gateway/events/event.h"
#include "gatehouse/v1/event.pb.h"

namespace gatehouse::events {

// ToProto fills `out`, in place of what an earlier ToProto put there; the cursor and the gateway's name are left to the hub
// and the uplink. A message that is used again keeps its memory.
void ToProto(const Event& event, v1::Event* out);

}  // namespace gatehouse::events
