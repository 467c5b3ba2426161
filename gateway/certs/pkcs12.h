// PKCS#12 containers (RFC 7292), as mint, bundles and server credentials share them.
//
// Threading:  pure.
// Errors:     kInvalidArgument with the cause.
#pragma once

#include <openssl/pkcs12.h>

#include <memory>

#include "absl/status/status.h"
#include "gateway/base/openssl.h"

namespace gatehouse::certs {

using UniquePkcs12 = std::unique_ptr<PKCS12, OpenSslDeleter<PKCS12_free>>;

void FreeSafes(STACK_OF(PKCS7) * s);
void FreeBags(STACK_OF(PKCS12_SAFEBAG) * s);
using UniqueSafes = std::unique_ptr<STACK_OF(PKCS7), OpenSslDeleter<FreeSafes>>;
using UniqueBags = std::unique_ptr<STACK_OF(PKCS12_SAFEBAG), OpenSslDeleter<FreeBags>>;

inline constexpr long kMaxPfxIterations = 5'000'000;

// Whether opening it takes no longer than a few seconds: iterations are the file's to say, and two thousand million of them are
// hours. Looks at what is hashed before anything is decrypted: the MAC and the encrypted safes; and, in safes that are not
// encrypted, the keys.
absl::Status CheckPfxCost(const PKCS12& pfx);

}  // namespace gatehouse::certs
