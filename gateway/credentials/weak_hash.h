// Apache's own password hashes, for files that are carried over: computed to verify, never for new
// passwords.
//
// Threading:  pure.
// Errors:     "" when OpenSSL refuses (MD5 or SHA-1 may be switched off on the machine).
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse::credentials {

// "$apr1$SALT$HASH": a thousand rounds of MD5. REQUIRES: salt has 1 to 8 characters.
std::string Apr1Hash(absl::string_view salt, absl::string_view password);
// "{SHA}HASH": SHA-1 without salt.
std::string ShaHash(absl::string_view password);

}  // namespace gatehouse::credentials
