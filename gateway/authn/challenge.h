// The WWW-Authenticate field of a scheme (RFC 9110 section 11.6.1). A 401 carries one for each
// scheme of the route, whoever asks.
//
// Threading:  pure.
// Errors:     none; REQUIRES a realm without control characters.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "gateway/identity/identity.h"

namespace gatehouse::authn {

// `Basic realm="…", charset="UTF-8"` or `ClientCertificate realm="…"`.
std::string Challenge(identity::PartKind kind, absl::string_view realm);

}  // namespace gatehouse::authn
