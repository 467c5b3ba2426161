// Crl is one certificate revocation list (RFC 5280 section 5): its head is parsed, its entries are an index over the DER.
//
// The list of entries is walked by us: OpenSSL's takes 205 octets an entry. The index is a hash table of 12 octets an
// entry (20 while it is built); what it holds is found in the DER.
//
// Ownership:  immutable, shared as CrlRef; owns its DER.
// Threading:  immutable, save for what it remembers of keys under a lock; any thread.
// Units:      times are wall-clock; sizes in octets.
// Errors:     kInvalidArgument with the cause: not DER, trailing bytes, an unknown critical extension, nextUpdate before
//             thisUpdate, an entry that is malformed (one bad entry spoils the list: nothing is skipped).
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
#include "gateway/base/mutex.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/distribution_point.h"
#include "gateway/certs/names.h"
#include "gateway/certs/signature.h"

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
// The reason with this number; nullopt: there is none.
std::optional<RevocationReason> RevocationReasonOf(int number);

// Whether nothing that an authority says later takes it back: only a hold ends (RFC 5280 section 5.3.1).
inline bool IsForGood(RevocationReason reason) {
  return reason != RevocationReason::kCertificateHold && reason != RevocationReason::kRemoveFromCrl;
}

// Content octets of a certificate's serial number, as Find takes them.
std::string SerialOf(const Certificate& certificate);

struct CrlEntry {
  absl::Time revoked;
  RevocationReason reason = RevocationReason::kUnspecified;
};

class Crl;
using CrlRef = std::shared_ptr<const Crl>;

class Crl {
 public:
  static absl::StatusOr<CrlRef> FromDer(std::string der);
  // One CRL, DER or PEM; or every one of a PEM bundle. DER becomes the list's own, without a copy.
  static absl::StatusOr<std::vector<CrlRef>> ListFromBytes(std::string pem_or_der);
  // Every CRL of a PEM text; at least one, else an error that says what the text is instead.
  static absl::StatusOr<std::vector<CrlRef>> ListFromPem(absl::string_view pem);

  Crl(const Crl&) = delete;
  Crl& operator=(const Crl&) = delete;

  const std::string& der() const { return der_; }
  const Sha256Digest& sha256() const { return sha256_; }
  // DER and RFC 4514 text of the name that issued it.
  absl::string_view issuer_der() const { return issuer_der_; }
  const std::string& issuer() const { return issuer_; }
  const X509_NAME* issuer_name() const { return issuer_name_.get(); }
  // NameHash of it: equal for equal names.
  uint64_t issuer_hash() const { return issuer_hash_; }
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
  const CrlScope& scope() const { return scope_; }
  bool indirect() const { return scope_.indirect; }
  // Where deltas that bring it up to date are found (freshestCRL): http and https URLs.
  const std::vector<std::string>& freshest_urls() const { return freshest_urls_; }
  // keyIdentifier of the authorityKeyIdentifier; empty: none.
  absl::string_view authority_key_id() const { return authority_key_id_; }
  size_t size() const { return entry_count_; }

  // Whether `newer` may take this one's place: same issuer, scope and kind, and not older (number, then thisUpdate).
  bool MayBeReplacedBy(const Crl& newer) const;

  // The entry of a certificate with this serial (content octets, as in the certificate) that was issued under the name
  // with this DER. For a list that is not indirect `issuer_name_der` must be the list's own issuer.
  std::optional<CrlEntry> Find(absl::string_view issuer_name_der, absl::string_view serial) const;

  // Checks the signature over the raw tbsCertList with this key, and that the algorithm is not weaker than allowed. Costs
  // one public-key operation, however long the list is.
  absl::Status VerifySignature(EVP_PKEY* key, const Strength& strength) const {
    return signed_.Verify(key, strength);
  }
  // The same with a certificate's key; what came of it is remembered, so that the next judgement pays nothing.
  absl::Status VerifySignature(const Certificate& signer, const Strength& strength) const;
  // What is remembered of this certificate's key; nullopt: it was not tried, or too long ago.
  std::optional<bool> KnownSignedBy(const Certificate& signer) const;

 private:
  Crl() = default;
  friend class CrlParser;

  // The table is open-addressed and probed linearly; an offset of 0 is a free slot, for no entry begins there.
  struct Slot {
    uint32_t hash = 0;
    uint32_t offset = 0;  // of the entry, into der_
  };
  // An indirect list says whose certificate an entry is about only where that changes.
  struct Run {
    uint32_t offset;  // of its first entry
    uint32_t issuer;  // into issuers_
  };
  struct EntryIssuer {
    UniqueName name;
    uint64_t hash;
  };
  const EntryIssuer& IssuerOf(uint32_t offset) const;
  struct TriedKey {
    Sha256Digest spki;
    bool signed_by;
  };

  std::string der_;
  Sha256Digest sha256_{};
  absl::string_view issuer_der_, scope_der_, authority_key_id_;  // into der_
  std::string issuer_;
  UniqueName issuer_name_;
  uint64_t issuer_hash_ = 0;
  absl::Time this_update_;
  std::optional<absl::Time> next_update_;
  std::string number_;
  std::optional<std::string> delta_base_;
  CrlScope scope_;
  std::vector<std::string> freshest_urls_;
  SignedMessage signed_;  // views into der_
  size_t entry_count_ = 0;
  std::vector<Slot> table_;
  std::vector<Run> runs_;             // indirect lists only, by offset
  std::vector<EntryIssuer> issuers_;  // indirect lists only; the list's own is the first
  mutable Mutex mutex_;
  mutable std::vector<TriedKey> tried_ ABSL_GUARDED_BY(mutex_);  // at most kMaxTriedKeys
};

}  // namespace gatehouse::certs
