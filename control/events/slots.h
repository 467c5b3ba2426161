// PublishSlots takes the events of a gateway in this process straight from their slots to the hub's ring: they are put in
// wire form once, and nothing is read back.
//
// Threading: the collector's.
#pragma once

#include "absl/strings/string_view.h"
#include "control/events/hub.h"
#include "gateway/events/event.h"

namespace gatehouse::hub {

void PublishSlots(events::Batch batch, absl::string_view gateway, Hub* hub);

// Sets `facts` to what ReadFacts would find in the event's wire form. Text points to what the event refers to, and to `gateway`.
void SetFacts(const events::Event& event, absl::string_view gateway, Facts* facts);

}  // namespace gatehouse::hub
