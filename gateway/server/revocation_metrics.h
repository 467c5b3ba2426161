// What a scrape tells of fetched CRLs and OCSP answers.
//
// Ownership:  the desk outlives the registry's last scrape.
// Threading:  as metrics::Registry.
#pragma once

#include "gateway/metrics/registry.h"
#include "gateway/server/revocation_desk.h"

namespace gatehouse::server {

void AddRevocationMetrics(const RevocationDesk& desk, metrics::Registry* registry);

}  // namespace gatehouse::server
