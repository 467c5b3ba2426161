// What the control plane counts, in Prometheus' text format. Every family begins with gatehouse_control_, so that the text
// can stand behind a gateway's.
//
// Threading: thread-safe; takes the locks of hub and distributor briefly.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "control/events/hub.h"
#include "control/publish/distributor.h"
#include "gateway/events/json_log.h"

namespace gatehouse {

// `log` may be null.
std::string ControlMetrics(absl::string_view version, const publish::Distributor& distributor, const hub::Hub& hub,
                           const events::JsonLog* log = nullptr);

}  // namespace gatehouse
