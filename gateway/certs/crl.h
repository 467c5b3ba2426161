// Crl is one certificate revocation list (RFC 5280 section 5): its head is parsed, its entries are an index over the DER.
//
// The list of entries is walked by us: OpenSSL's takes 205 octets an entry. Memory is the DER and at most 40 octets an
// entry; a look-up is a binary search.
//
// Ownership:  immutable, shared as CrlRef; owns its DER.
// Threading:  immutable; any thread.
// Units:      times are wall-clock; sizes in octets.
// Errors:     kInvalidArgument with the cause: not DER, trailing bytes, an unknown critical extension, no nextUpdate order,
//             an entry that is malformed (one bad entry spoils the list: nothing is skipped).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxCrlSize = 128 * 1024 * 1024;

// RFC 5280 section 5.3.1, by its numbers.
enum class RevocationReason : uint8_t {
  kUnspecified = 0,
  kKeyCompromise = 1,
  kCaCompromise = 2,
  kAffiliationChanged = 3,
  kSuperseded = 4,
  kCessationOfOperation = 5,
  kCertificateHold = 6,
  kRemoveFromCrl = 8,
  kPrivilegeWithdrawn = 9,
  kAaCompromise = 10,
};
// "keyCompromise", as the RFC writes it.
absl::string_view RevocationReasonName(RevocationReason reason);

struct CrlEntry {
  absl::Time revoked;
  RevocationReason reason = RevocationReason::kUnspecified;
};

class Crl;
using CrlRef = std::shared_ptr<const Crl>;

class Crl {
 public:
  static absl::StatusOr<CrlRef> FromDer(std::string der);
  // One CRL, DER or PEM; or every one of a PEM bundle.
  static absl::StatusOr<std::vector<CrlRef>> ListFromBytes(absl::string_view pem_or_der);

  Crl(const Crl&) = delete;
  Crl& operator=(const Crl&) = delete;

  const std::string& der() const { return der_; }
  const Sha256Digest& sha256() const { return sha256_; }
  // DER and RFC 4514 text of the name that issued it.
  absl::string_view issuer_der() const { return issuer_der_; }
  const std::string& issuer() const { return issuer_; }
  absl::Time this_update() const { return this_update_; }
  // Absent in lists that promise no successor.
  std::optional<absl::Time> next_update() const { return next_update_; }
  // Content octets of cRLNumber, without leading zeros; empty: none.
  const std::string& number() const { return number_; }
  // Set for a delta CRL: the base's number.
  const std::optional<std::string>& delta_base() const { return delta_base_; }
  bool is_delta() const { return delta_base_.has_value(); }
  // DER of the issuingDistributionPoint; empty: a list for everything its issuer issued. Lists of one issuer with equal
  // scopes (and equal is_delta) replace each other.
  absl::string_view scope_der() const { return scope_der_; }
  bool indirect() const { return indirect_; }
  size_t size() const { return entry_count_; }

  // Whether `newer` may take this one's place: same issuer, scope and kind, and not older (number, then thisUpdate).
  bool MayBeReplacedBy(const Crl& newer) const;

  // The entry of a certificate with this serial (content octets, as in the certificate) that was issued under the name
  // with this DER. For a list that is not indirect `issuer_name_der` must be the list's own issuer.
  std::optional<CrlEntry> Find(absl::string_view issuer_name_der, absl::string_view serial) const;

  // Checks the signature over the raw tbsCertList with this key, and that the algorithm is not weaker than allowed.
  absl::Status VerifySignature(EVP_PKEY* key) const;

 private:
  Crl() = default;
  friend class CrlParser;

  std::string der_;
  Sha256Digest sha256_{};
  absl::string_view issuer_der_, scope_der_;  // into der_
  std::string issuer_;
  absl::Time this_update_;
  std::optional<absl::Time> next_update_;
  std::string number_;
  std::optional<std::string> delta_base_;
  bool indirect_ = false;
  size_t entry_count_ = 0;
  // The rest of the index is the implementer's.
};

}  // namespace gatehouse::certs
