// Public exponents of RSA keys.
//
// Threading:  pure.
#pragma once

#include <openssl/evp.h>

namespace gatehouse::certs {

// False for an exponent that is even, one (everybody signs with it) or longer than kMaxExponentBits. REQUIRES: an RSA key.
bool HasModestExponent(EVP_PKEY* key);

}  // namespace gatehouse::certs
