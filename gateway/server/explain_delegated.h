// DescribeDelegated tells what a gateway would do with credentials for a scheme that a user's own service decides. It asks
// nobody: nobody's password is known where somebody asks for an explanation.
//
// Threading:  any thread.
// Errors:     none. REQUIRES: the scheme has a validator.
#pragma once

#include "gateway/config/snapshot.h"
#include "gateway/delegate/desk.h"
#include "gatehouse/v1/certificate_service.pb.h"

namespace gatehouse::server {

// `desk` may be null: then nothing is known of circuit breakers.
void DescribeDelegated(const config::Scheme& scheme, const delegate::Desk* desk, v1::DelegatedScheme* out);

}  // namespace gatehouse::server
