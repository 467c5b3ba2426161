// TrustStore is whom a scheme believes: anchors, which issue and are never accepted themselves; pins, which are
// accepted themselves and never issue; and intermediates, which only help to build paths.
//
// Ownership:  immutable, shared as TrustStoreRef.
// Threading:  immutable; any thread.
// Units:      version() is a digest of the content: equal inputs give equal versions, in any order.
// Errors:     every violation at once, each with the path of its field below the store, e.g. "anchors[0]".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/digest.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/crl.h"

namespace gatehouse::certs {

struct FieldError {
  std::string field;  // "anchors[0]", "pins[3]", "" for the whole
  std::string message;
};

struct Pin {
  enum class Kind : uint8_t { kCertificate, kSpki };
  Kind kind = Kind::kCertificate;
  Sha256Digest digest{};
  // Of a pin that was given as a certificate; no part of its identity.
  std::string subject;
  absl::Time not_after = absl::InfiniteFuture();
  friend bool operator==(const Pin& a, const Pin& b) { return a.kind == b.kind && a.digest == b.digest; }
};

// 64 hex digits, colons between octets allowed, `sha256:` in front allowed.
absl::StatusOr<Pin> ParsePinDigest(Pin::Kind kind, absl::string_view hex);
// The PEM of exactly one certificate.
absl::StatusOr<Pin> PinFromPem(absl::string_view pem);
// Any of: PEM, `sha256:HEX` (certificate), `spki:HEX`, `spki-sha256:HEX`.
absl::StatusOr<Pin> ParsePin(absl::string_view text);

class TrustStore;
using TrustStoreRef = std::shared_ptr<const TrustStore>;

struct TrustStoreInput {
  std::string name;
  std::vector<std::string> anchors_pem;  // each entry may be a bundle
  std::vector<std::string> intermediates_pem;
  std::vector<Pin> pins;
  std::vector<std::string> crls_pem;  // each entry may be a bundle
  std::vector<CrlRef> crls;           // further ones, read already
  TrustStoreRef previous;  // may be null; entries of crls_pem that it was made of too are shared, not read again
  std::vector<std::string> crl_paths;  // not looked at here
  bool system_roots = false;
};

class TrustStore {
 public:
  // Null if and only if something was added to `errors`.
  static TrustStoreRef Create(const TrustStoreInput& input, std::vector<FieldError>* errors);

  TrustStore(const TrustStore&) = delete;
  TrustStore& operator=(const TrustStore&) = delete;

  const std::string& name() const { return name_; }
  uint64_t version() const { return version_; }
  const std::vector<CertificateRef>& anchors() const { return anchors_; }
  const std::vector<CertificateRef>& intermediates() const { return intermediates_; }
  const std::vector<Pin>& pins() const { return pins_; }
  const std::vector<CrlRef>& crls() const { return crls_; }
  // Files and directories of the gateway's machine that hold further lists.
  const std::vector<std::string>& crl_paths() const { return crl_paths_; }

  bool IsPinned(const Certificate& certificate) const;
  // By its key and not itself: what else it says is its holder's own word, who makes such certificates as he likes.
  bool IsPinnedByKey(const Certificate& certificate) const;
  // Digest of the pin that pins it: of the certificate, or else of its key. REQUIRES: IsPinned.
  const Sha256Digest& PinOf(const Certificate& certificate) const;
  // By the certificate's whole content.
  bool IsAnchor(const Certificate& certificate) const;

  // Anchors and intermediates whose subject may be `certificate`'s issuer (equal name hashes: compare the names), in
  // the order of the input.
  absl::Span<const CertificateRef> AnchorsFor(const Certificate& certificate) const;
  absl::Span<const CertificateRef> IntermediatesFor(const Certificate& certificate) const;
  // Those whose subject has this NameHash.
  absl::Span<const CertificateRef> AnchorsNamed(uint64_t subject_hash) const;
  absl::Span<const CertificateRef> IntermediatesNamed(uint64_t subject_hash) const;
  // Lists whose issuer_hash() this is. Signatures are not checked.
  absl::Span<const CrlRef> CrlsOf(uint64_t issuer_hash) const;

 private:
  using ByName = absl::flat_hash_map<uint64_t, std::vector<CertificateRef>>;
  TrustStore() = default;
  void ReadCrls(const TrustStoreInput& input, std::vector<FieldError>* errors);

  std::string name_;
  uint64_t version_ = 0;
  std::vector<CertificateRef> anchors_, intermediates_;
  std::vector<Pin> pins_;
  std::vector<CrlRef> crls_;
  absl::flat_hash_map<Sha256Digest, std::vector<CrlRef>, DigestHash> crls_by_text_;  // key: of the entry of crls_pem
  absl::flat_hash_map<uint64_t, std::vector<CrlRef>> crls_by_issuer_;
  std::vector<std::string> crl_paths_;
  absl::flat_hash_set<Sha256Digest, DigestHash> anchor_digests_, certificate_pins_, spki_pins_;
  ByName anchors_by_name_, intermediates_by_name_;  // key: NameHash of the subject
};

}  // namespace gatehouse::certs
