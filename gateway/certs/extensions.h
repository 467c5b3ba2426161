// Extensions are the ones of a certificate that paths depend on (RFC 5280 section 4.2.1), read once.
//
// Ownership:  views into the certificate that they were read from, which must outlive them.
// Threading:  immutable once read.
// Units:      at most kMaxAlternativeNames, kMaxSubtrees and kMaxPolicies entries: a certificate with more is defective.
// Errors:     what is wrong is text; see ReadExtensions.
#pragma once

#include <openssl/x509.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxAlternativeNames = 256;
inline constexpr size_t kMaxSubtrees = 512;
inline constexpr size_t kMaxPolicies = 64;  // and as many mappings

// RFC 5280 section 4.2.1.6; the numbers are the context tags.
enum class NameForm : uint8_t {
  kOther = 0,
  kRfc822 = 1,
  kDns = 2,
  kX400 = 3,
  kDirectory = 4,
  kEdiParty = 5,
  kUri = 6,
  kIp = 7,
  kRegisteredId = 8,
};

struct GeneralName {
  NameForm form = NameForm::kOther;
  absl::string_view content;  // kDirectory: the DER of the Name
};

struct Extensions {
  bool has_basic_constraints = false;
  bool ca = false;
  std::optional<size_t> path_length;

  bool has_key_usage = false;
  bool digital_signature = false;
  bool key_cert_sign = false;

  bool has_extended_key_usage = false;
  bool client_auth = false;
  bool any_extended_key_usage = false;

  absl::string_view subject_key_id, authority_key_id;  // empty: none
  std::vector<GeneralName> alternative_names;
  bool critical_alternative_names = false;

  bool has_name_constraints = false;
  std::vector<GeneralName> permitted, excluded;

  // Content octets of object identifiers.
  bool has_policies = false;
  bool any_policy = false;                // among them
  std::vector<absl::string_view> policies;  // the others
  std::vector<std::pair<absl::string_view, absl::string_view>> policy_mappings;  // issuer's, subject's
  std::optional<size_t> require_explicit_policy, inhibit_policy_mapping, inhibit_any_policy;

  // A critical extension that is not processed, dotted; empty: none.
  std::string unknown_critical;

  // Why what stands here is not all that the certificate says; empty when it is. Fatal for any issuer, anchors too.
  std::string unreadable;
  // Where the certificate breaks a rule of RFC 5280 section 4.2 that makes no difference to what stands here.
  std::string defect;
};

// Reads and never fails: see `unreadable` and `defect`.
void ReadExtensions(const X509* certificate, Extensions* out);

}  // namespace gatehouse::certs
