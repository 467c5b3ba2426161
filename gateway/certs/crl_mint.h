// Makes certificate revocation lists, for `gatehousectl` and for tests.
//
// Threading:  pure.
// Units:      times are wall-clock, whole seconds.
// Errors:     kInvalidArgument naming the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/mint.h"

namespace gatehouse::certs {

struct MintCrlEntry {
  std::string serial;  // content octets of the INTEGER, see SerialOf
  absl::Time revoked;
  std::optional<RevocationReason> reason;
  std::string certificate_issuer;  // RFC 4514; only indirect lists name one, and only where it changes
  std::vector<MintExtension> extensions;
};

struct MintCrlScope {
  std::vector<std::string> urls;
  bool user_certificates_only = false;
  bool authorities_only = false;
  bool attribute_certificates_only = false;
  bool indirect = false;
  std::vector<RevocationReason> reasons;  // empty: all
};

struct MintCrlRequest {
  std::string issuer;  // RFC 4514; empty: the signer's subject
  absl::Time this_update;
  std::optional<absl::Time> next_update;
  std::optional<uint64_t> number;
  std::optional<uint64_t> delta_base;  // makes it a delta CRL
  std::optional<MintCrlScope> scope;
  std::vector<MintCrlEntry> entries;
  std::vector<MintExtension> extensions;
  bool version1 = false;  // for lists without any extension
  std::string digest;     // OpenSSL's name; empty: SHA-256, or what the key demands
};

// MintCrl returns the DER.
absl::StatusOr<std::string> MintCrl(const MintCrlRequest& request, Signer signer);
std::string CrlToPem(absl::string_view der);

}  // namespace gatehouse::certs
