// The TLS contexts of a snapshot's upstreams, made once by the installer and shared by the workers.
//
// Errors: names the upstream and the cause.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/base/clock.h"
#include "gateway/config/snapshot.h"
#include "gateway/tls/client_context.h"

namespace gatehouse::server {

// By index of upstream; null where there is no TLS.
using UpstreamTlsContexts = std::vector<std::shared_ptr<const tls::ClientContext>>;

// Takes over the contexts, with their sessions, of `previous` (may be null), made of `before`, where nothing of them changed.
absl::StatusOr<UpstreamTlsContexts> MakeUpstreamTls(const config::Snapshot& snapshot, const config::Snapshot* before,
                                                    const UpstreamTlsContexts* previous, const Clock& clock);

}  // namespace gatehouse::server
