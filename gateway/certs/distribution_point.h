// Distribution points: which part of an authority's revocations is found where (RFC 5280 sections 4.2.1.13 and 5.2.5).
//
// Ownership:  values that own their names.
// Threading:  immutable once made; any thread.
#pragma once

#include <openssl/x509v3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/openssl.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::certs {

// Bit n is the reason that ReasonFlags numbers n; bit 0 is unused.
using ReasonMask = uint16_t;
inline constexpr ReasonMask kAllReasons = 0x1fe;

using UniqueGeneralNames = std::unique_ptr<GENERAL_NAMES, OpenSslDeleter<GENERAL_NAMES_free>>;

// Where a certificate says that its status is found.
struct DistributionPoint {
  UniqueGeneralNames names;        // null: none; a name relative to the issuer is made whole
  UniqueGeneralNames crl_issuers;  // null: the certificate's issuer
  ReasonMask reasons = kAllReasons;
};

// What a list is limited to.
struct CrlScope {
  UniqueGeneralNames names;  // null: none
  bool user_certificates_only = false;
  bool authorities_only = false;
  bool attribute_certificates_only = false;
  bool indirect = false;
  ReasonMask reasons = kAllReasons;
};

// Those of the cRLDistributionPoints extension; empty when it is absent or cannot be read.
std::vector<DistributionPoint> DistributionPointsOf(const Certificate& certificate);
// Those of freshestCRL, where deltas are found (RFC 5280 section 4.2.1.15); the same.
std::vector<DistributionPoint> FreshestPointsOf(const Certificate& certificate);
// The http and https URLs of a list's own freshestCRL (RFC 5280 section 5.2.6).
absl::StatusOr<std::vector<std::string>> ReadFreshestUrls(absl::string_view der);
// Reads an issuingDistributionPoint of a list that `issuer` issued.
absl::StatusOr<CrlScope> ReadCrlScope(absl::string_view der, const X509_NAME* issuer);

// Whether a name is in both; null holds none.
bool ShareName(const GENERAL_NAMES* a, const GENERAL_NAMES* b);
// Whether `name` is among the directory names.
bool HoldsDirectoryName(const GENERAL_NAMES* names, const X509_NAME* name);
// The http and https URLs, in order; null holds none.
std::vector<std::string> WebAddresses(const GENERAL_NAMES* names);

}  // namespace gatehouse::certs
