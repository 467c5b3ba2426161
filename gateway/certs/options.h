// SchemeOptions is all that a client certificate scheme decides by (docs: the certificate scheme).
//
// Ownership:  values; the trust store is shared.
// Threading:  immutable once in a snapshot.
// Units:      durations and bits as their types and names say.
// Errors:     the parsers below return kInvalidArgument with the cause.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/address_range.h"
#include "gateway/certs/signature.h"
#include "gateway/certs/trust_store.h"

namespace re2 {
class RE2;
}

namespace gatehouse::certs {

enum class CertificateTypes : uint8_t { kAll, kChained, kSelfSigned };
enum class SelfSignedTrust : uint8_t { kPinned, kAny };
enum class RevocationMode : uint8_t { kNoCheck, kOnline, kOffline };
enum class RevocationScope : uint8_t { kExcludeRoot, kEndCertificateOnly, kEntireChain };
enum class OnUnknown : uint8_t { kRefuse, kAllow };

struct RevocationOptions {
  RevocationMode mode = RevocationMode::kNoCheck;
  RevocationScope scope = RevocationScope::kExcludeRoot;
  OnUnknown on_unknown = OnUnknown::kRefuse;
  absl::Duration max_age = absl::Hours(1);     // caps how long any answer is believed
  absl::Duration skew = absl::Minutes(5);      // tolerated of the times of CRLs and OCSP answers
  absl::Duration timeout = absl::Seconds(5);   // how long a request waits for answers before `on_unknown` decides
  std::string ocsp_url;                        // asked instead of what certificates name; empty: their AIA
  bool ocsp_nonce = true;
  // What fetches may do; for whoever fetches.
  size_t max_crl_bytes = size_t{20} << 20;
  int max_redirects = 3;
  std::vector<AddressRange> allowed_ranges, denied_ranges;  // beyond the built-in rules
};

// TextMatcher compares a whole text in exactly one way.
class TextMatcher {
 public:
  enum class Kind : uint8_t { kExact, kPrefix, kSuffix, kRegex };
  // kRegex is RE2 in its linear-time engine and must match the whole text. An empty text is refused.
  static absl::StatusOr<TextMatcher> Create(Kind kind, absl::string_view text);
  bool Matches(absl::string_view text) const;
  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }

 private:
  TextMatcher() = default;
  Kind kind_ = Kind::kExact;
  std::string text_;
  std::shared_ptr<const re2::RE2> regex_;
};

struct SubjectMatcher {
  std::string oid;  // dotted; see ParseAttribute
  TextMatcher value;
};

// Requirements: every list that is not empty must be met; any entry of it may meet it, save `subject`, where all must.
struct Requirements {
  std::vector<SubjectMatcher> subject;
  std::vector<std::string> san_dns;    // exact, or ".suffix" on a label boundary; ASCII case-insensitive
  std::vector<std::string> san_email;  // local part exact
  std::vector<std::string> san_uri;    // exact, or a prefix that ends in '/'
  std::vector<AddressRange> san_ip;
  std::vector<std::string> san_upn;
  std::vector<TextMatcher> issuer;  // RFC 4514 text
  int min_key_bits = 0;
  std::vector<int> forbidden_signature_nids;
};

// A short name (CN, O, emailAddress, ...) or a dotted OID; returns the dotted OID.
absl::StatusOr<std::string> ParseAttribute(absl::string_view name);
// OpenSSL's long or short name of a signature algorithm; returns its NID.
absl::StatusOr<int> ParseSignatureAlgorithm(absl::string_view name);

// PolicyOptions are the inputs of RFC 5280 section 6.1.1 c, e, f and g.
struct PolicyOptions {
  // Certificate policies, any of which the path must be valid for; see ParsePolicy. Empty: any policy.
  std::vector<std::string> initial_set;
  bool require_explicit = false;  // the path must be valid for at least one policy (of the set)
  bool inhibit_mapping = false;
  bool inhibit_any = false;       // anyPolicy in a certificate counts for nothing
};
// A dotted OID; returns the content octets of its encoding. anyPolicy (2.5.29.32.0) is refused: it is no policy.
absl::StatusOr<std::string> ParsePolicy(absl::string_view dotted);

struct SchemeOptions {
  std::string name = "Certificate";
  CertificateTypes allowed_certificate_types = CertificateTypes::kAll;
  bool validate_certificate_use = true;
  bool allow_absent_extended_key_usage = false;
  bool validate_validity_period = true;
  absl::Duration clock_skew = absl::ZeroDuration();
  RevocationOptions revocation;
  SelfSignedTrust self_signed_trust = SelfSignedTrust::kPinned;
  Requirements require;
  Strength strength;
  PolicyOptions policy;
  absl::Duration verdict_ttl = absl::Minutes(5);
  // Null: nothing is trusted (valid only with self_signed_trust kAny, and then only for self-signed certificates).
  TrustStoreRef trust_store;
  // ContentEpoch of this, set once by whoever makes it. 0: not set.
  uint64_t epoch = 0;
};

// ContentEpoch digests every option and the trust store's version; equal content gives an equal, non-zero epoch.
uint64_t ContentEpoch(const SchemeOptions& options);

}  // namespace gatehouse::certs
