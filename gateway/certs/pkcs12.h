// PKCS#12 containers (RFC 7292), as mint, bundles and server credentials share them.
//
// Ownership:  values.
// Threading:  pure; opening one hashes its password for up to a few seconds.
// Errors:     kInvalidArgument with the cause.
#pragma once

#include <openssl/pkcs12.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/openssl.h"
#include "gateway/base/secret.h"

namespace gatehouse::certs {

using UniquePkcs12 = std::unique_ptr<PKCS12, OpenSslDeleter<PKCS12_free>>;

void FreeSafes(STACK_OF(PKCS7) * s);
void FreeBags(STACK_OF(PKCS12_SAFEBAG) * s);
using UniqueSafes = std::unique_ptr<STACK_OF(PKCS7), OpenSslDeleter<FreeSafes>>;
using UniqueBags = std::unique_ptr<STACK_OF(PKCS12_SAFEBAG), OpenSslDeleter<FreeBags>>;

// Of all its parts together. Iterations are the file's to say, and two thousand million of them are hours.
inline constexpr uint64_t kMaxPfxIterations = 5'000'000;

// Null: the octets are something else than one PFX.
UniquePkcs12 ParsePfx(absl::string_view bytes);

// Whether opening it takes no longer than a few seconds, as far as can be told without its password, which need not be asked
// for otherwise.
absl::Status CheckPfxCost(const PKCS12& pfx);

// A C string of OpenSSL's: an error for a password that is none.
absl::Status CheckPfxPassword(const Secret& password);

struct PfxContent {
  std::vector<UniqueX509> certificates;  // in the order of the file
  std::vector<UniqueKey> keys;           // with PfxKeys::kRead
  int private_keys = 0;                  // that are there
};

enum class PfxKeys : uint8_t { kCount, kRead };

absl::StatusOr<PfxContent> OpenPfx(const PKCS12& pfx, const Secret& password, PfxKeys keys);

}  // namespace gatehouse::certs
