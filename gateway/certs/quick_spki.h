// OpenSSL 3.0 makes a new decoder context for every public key that it reads out of a certificate: four fifths of the
// time that reading a certificate takes. An ENGINE that is registered for a key type makes it use its older, direct
// decoder instead (x509_pubkey_decode in crypto/x509/x_pubkey.c), which checks the same. ENGINE is deprecated, so all
// that touches it is in quick_spki.cc (docs/decisions/0027-quick-spki-decoder.md).
//
// Threading:  once, before other threads use OpenSSL.
// Errors:     kUnimplemented when built without (GATEHOUSE_QUICK_SPKI=OFF, or an OpenSSL without engines): the usual
//             decoder stays.
#pragma once

#include "absl/status/status.h"

namespace gatehouse::certs {

// UseQuickSpkiDecoder takes the direct decoder for RSA and EC keys, in the whole process. Other types are not touched.
absl::Status UseQuickSpkiDecoder();

}  // namespace gatehouse::certs
