// CrlCheck finds what revocation lists say about certificates of one verified path (RFC 5280 section 6.3).
//
// A list counts when its scope covers the certificate, and its signature is that of the certificate's issuer or of a
// certificate that may sign lists, is found on the path or in the trust store, and has a path to the same anchor. Several
// lists together may cover all reasons. Of two lists of one scope the newer counts, wherever it came from.
//
// Ownership:  borrows path, options and source; they outlive it.
// Threading:  thread-compatible; one for a candidate path of one judgement.
// Units:      at most kMaxListSignatures signatures are verified for each certificate, those that a list remembers not
//             counted; what is beyond is not known.
// Errors:     none; a list that does not count leaves a note.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/options.h"
#include "gateway/certs/path.h"
#include "gateway/certs/revocation.h"

namespace gatehouse::certs {

inline constexpr int kMaxListSignatures = 32;
// How long an answer is believed that promises no successor.
inline constexpr absl::Duration kBeliefWithoutNextUpdate = absl::Minutes(5);

// Until when an answer of `made` (its thisUpdate) is believed, given what it promises, when it was fetched (absent: it
// was not, see HeldCrl) and what the options allow. One that promises no successor is of `made`, not of when it came: it
// may be a replay.
absl::Time BelievedUntil(absl::Time made, std::optional<absl::Time> next_update,
                         std::optional<absl::Time> received, const RevocationOptions& options);

struct CrlFinding {
  enum class Status : uint8_t { kUnknown, kGood, kRevoked };
  Status status = Status::kUnknown;
  CrlEntry entry;                                     // kRevoked
  absl::Time this_update = absl::InfiniteFuture();    // of the oldest list that was needed
  absl::Time believed_until = absl::InfiniteFuture();
  std::string source;  // which lists decided
  // Where deltas of the complete lists that counted are found, as these say.
  std::vector<std::string> freshest_urls;
  bool by_delta = false;  // every complete list that counted was brought up to date by a current delta
  std::string note;    // kUnknown: why the lists at hand did not decide; empty: there are none
};

class CrlCheck {
 public:
  CrlCheck(const Path& path, const SchemeOptions& options, absl::Time now,
           const RevocationSource* source)
      : path_(path), options_(options), now_(now), source_(source) {}

  // REQUIRES: `subject` was verified with the key of `issuer`, which is on the path.
  CrlFinding Check(const CertificateRef& subject, const CertificateRef& issuer) {
    signatures_ = 0;
    return Check(subject, issuer, 0);
  }

 private:
  struct Candidate {
    HeldCrl held;
    ReasonMask reasons = 0;  // for which it covers the certificate
  };

  CrlFinding Check(const CertificateRef& subject, const CertificateRef& issuer, int depth);
  std::vector<HeldCrl> ListsFor(const CertificateRef& subject,
                                const std::vector<DistributionPoint>& points) const;
  // Who signed the list, if they may; null otherwise, with a note. Remembered by list.
  CertificateRef SignerOf(const CrlRef& list, const CertificateRef& issuer, int depth,
                          std::string* note);
  bool HasPathToAnchor(const CertificateRef& signer, int depth, std::string* note);
  absl::Status VerifyWith(const Crl& list, const Certificate& signer);
  bool exhausted() const { return signatures_ > kMaxListSignatures; }
  bool IsCurrent(const HeldCrl& held) const;

  const Path& path_;
  const SchemeOptions& options_;
  const absl::Time now_;
  const RevocationSource* const source_;
  int signatures_ = 0;  // verified for the certificate that is asked about
  std::map<std::pair<const Crl*, int>, CertificateRef> signers_;  // by list and depth
};

}  // namespace gatehouse::certs
