// Clauses are the leaves of a policy: what is asked of a caller's claims, of the accepted certificate, of the address and of
// the time. Each answers with an Outcome; what cannot be told is not taken for "no", so that a negation of it does not hold.
//
// Ownership:  values; immutable once in a Policy.
// Threading:  Check, Words and Evidence are pure.
// Units:      seconds of the day; wall-clock times.
// Errors:     the Parse functions: kInvalidArgument with the cause. Create appends `field: cause` texts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/address_range.h"
#include "gateway/base/digest.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/options.h"
#include "gateway/identity/identity.h"

namespace re2 {
class RE2;
}

namespace gatehouse::identity {

// In this order: all_of is the least of its parts, any_of the greatest.
enum class Outcome : uint8_t { kNotMet, kUnknown, kMet };
inline Outcome Not(Outcome outcome) {
  return static_cast<Outcome>(static_cast<int>(Outcome::kMet) - static_cast<int>(outcome));
}
inline Outcome Known(bool met) { return met ? Outcome::kMet : Outcome::kNotMet; }

// Facts is what a policy is asked about.
struct Facts {
  const Identity& identity;
  // Where the request comes from: 4 or 16 octets, network order. Empty: not known.
  absl::Span<const uint8_t> address = {};
  absl::Time now = absl::InfinitePast();  // not known
};

enum class MatchKind : uint8_t { kExact, kPrefix, kSuffix, kRegex, kPresent };
enum class Quantifier : uint8_t { kAny, kAll, kNone };

struct TextTest {
  MatchKind kind = MatchKind::kExact;
  std::string value;  // RE2 for kRegex, matches the whole text
};

// ClaimClause compares values of claims of one type: with `value`, or with each of `one_of` and `matches`.
struct ClaimClause {
  std::string type;    // short words are understood
  std::string scheme;  // empty: any
  std::string issuer;  // empty: any
  MatchKind match = MatchKind::kExact;
  std::string value;                 // ignored for kPresent, and with one_of or matches
  std::vector<std::string> one_of{};    // exact
  std::vector<TextTest> matches{};      // never kPresent
  bool ignore_case = false;             // ASCII; not for kRegex
  Quantifier values = Quantifier::kAny;
};

// ClaimTest is a ClaimClause, compiled.
class ClaimTest {
 public:
  // More values than these of one type, or longer ones for a regular expression, cannot be told.
  static constexpr size_t kMaxValues = 1000;
  static constexpr size_t kMaxRegexValue = 64 * 1024;

  // Adds `field: cause` for whatever is wrong; the result is only of use when nothing was.
  static ClaimTest Create(ClaimClause clause, std::vector<std::pair<std::string, std::string>>* errors);
  ClaimTest(ClaimTest&&) noexcept;
  ClaimTest& operator=(ClaimTest&&) noexcept;
  ~ClaimTest();

  Outcome Check(const Facts& facts) const;
  std::string Words() const;
  std::string Evidence(const Facts& facts) const;
  void AppendContent(std::string* content) const;
  // Type in full.
  const ClaimClause& clause() const { return clause_; }

 private:
  ClaimTest();
  bool Counts(const Claim& claim) const;
  Outcome Matches(absl::string_view value) const;

  ClaimClause clause_;
  std::vector<TextTest> tests_;                      // with `value` folded in; without regular expressions
  absl::flat_hash_set<std::string> exact_;           // one_of; in lower case with ignore_case
  std::vector<std::unique_ptr<re2::RE2>> regexes_;
};

// CertificateClause is about the certificate that a scheme accepted; every field that is set must hold.
struct CertificateClause {
  std::string scheme;  // empty: any
  certs::Requirements match;
  std::vector<std::string> serials;        // ParseSerial; any of them
  std::vector<Sha256Digest> thumbprints;   // any of these and of sha1_thumbprints
  std::vector<std::string> sha1_thumbprints;
  std::vector<certs::KeyFamily> key_types;  // any of them
  std::optional<absl::Duration> valid_for;
  std::vector<std::string> extended_key_usages;  // ParseUsage; all of them
};
// Upper-case hex without leading zeros.
absl::StatusOr<std::string> ParseSerial(absl::string_view text);
// A dotted OID, or the usual name of one.
absl::StatusOr<std::string> ParseUsage(absl::string_view text);
// Adds a thumbprint to the list of its length.
absl::Status AddThumbprint(absl::string_view text, CertificateClause* clause);

Outcome Check(const CertificateClause& clause, const Facts& facts);
std::string Words(const CertificateClause& clause);
std::string Evidence(const CertificateClause& clause, const Facts& facts);
void AppendContent(const CertificateClause& clause, std::string* content);

struct AddressClause {
  std::vector<AddressRange> ranges;  // any of them
};
// An address or range; one of IPv4 addresses in IPv6 form is refused, since such addresses are compared as IPv4.
absl::StatusOr<AddressRange> ParseClientRange(absl::string_view text);

// 4 or 16 octets.
absl::StatusOr<std::vector<uint8_t>> ParseAddress(absl::string_view text);

Outcome Check(const AddressClause& clause, const Facts& facts);
std::string Words(const AddressClause& clause);
std::string Evidence(const AddressClause& clause, const Facts& facts);
void AppendContent(const AddressClause& clause, std::string* content);

// TimeClause is a window of the week on the wall clock of a zone, between two moments.
struct TimeClause {
  std::vector<absl::Weekday> days;       // on which the window opens; empty: every day
  std::optional<int> from, to;           // seconds of the day; to < from: closes on the day after
  std::string zone_name = "UTC";
  absl::TimeZone zone = absl::UTCTimeZone();
  std::optional<absl::Time> not_before, not_after;  // both inclusive
};
// `HH:MM` or `HH:MM:SS`; 24:00 when `end`.
absl::StatusOr<int> ParseTimeOfDay(absl::string_view text, bool end);
// A name of the IANA database, and nothing else that a file of the machine could be reached by.
absl::StatusOr<absl::TimeZone> ParseTimeZone(absl::string_view name);

Outcome Check(const TimeClause& clause, const Facts& facts);
std::string Words(const TimeClause& clause);
std::string Evidence(const TimeClause& clause, const Facts& facts);
void AppendContent(const TimeClause& clause, std::string* content);

}  // namespace gatehouse::identity
