// What a scrape tells of the calls to users' own validation services.
//
// Ownership:  the desk outlives the registry's last scrape.
// Threading:  as metrics::Registry.
#pragma once

#include "gateway/delegate/desk.h"
#include "gateway/metrics/registry.h"

namespace gatehouse::server {

void AddValidatorMetrics(const delegate::Desk& desk, metrics::Registry* registry);

}  // namespace gatehouse::server
