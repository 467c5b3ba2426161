// ListTrust tells what a trust store of a snapshot in force holds, and how often the gateway leaned on each of it.
//
// Threading:  pure; any thread.
// Errors:     NOT_FOUND.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/config/snapshot.h"
#include "gateway/server/trust_uses.h"
#include "gatehouse/v1/certificate_service.pb.h"

namespace gatehouse::server {

// Facts of a certificate as answers carry them; names that are not UTF-8 are escaped, since a proto string must be.
void Describe(const certs::Certificate& certificate, v1::CertificateFacts* out);

absl::StatusOr<v1::ListTrustResponse> ListTrust(const config::Snapshot& snapshot, const v1::ListTrustRequest& request,
                                                const TrustUses& uses);

}  // namespace gatehouse::server
