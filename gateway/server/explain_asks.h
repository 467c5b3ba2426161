// How clients are asked for their certificate: by which listener, under which server name, with which hints. What a client
// that sent none has to be compared with.
//
// Threading:  pure.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gateway/certs/certificate.h"
#include "gateway/config/snapshot.h"
#include "gatehouse/v1/certificate_service.pb.h"

namespace gatehouse::server {

// One entry a server name of `listener` under which `hosts` may be asked for; every name when `hosts` is empty. `chain` may
// be empty. No more than `most` entries are in `out` afterwards.
void AppendAsks(const config::Snapshot& snapshot, const config::Listener& listener,
                absl::Span<const config::HostPattern> hosts, absl::Span<const certs::CertificateRef> chain, int most,
                google::protobuf::RepeatedPtrField<v1::AskedName>* out);

}  // namespace gatehouse::server
