// Verification of a path from a leaf to an anchor (RFC 5280 section 6).
//
// The work is ours and not X509_verify_cert's, which neither back-tracks nor bounds what a caller makes it do, and departs
// from the RFC in places (docs/decisions). Signatures, names and keys are OpenSSL's.
//
// Ownership:  paths share their certificates.
// Threading:  PathVerifier is thread-compatible, one a judgement; the rest is pure.
// Units:      what is spent counts in Work.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/base/reason.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/options.h"
#include "gateway/certs/work.h"

namespace gatehouse::certs {

using Path = std::vector<CertificateRef>;  // leaf first, anchor last

// Finding is what a check says; ok when reason is kNone.
struct Finding {
  Reason reason = Reason::kNone;
  CertificateRef certificate;  // the one at fault, when there is one
  std::string detail;
  bool ok() const { return reason == Reason::kNone; }
};

// Key and signature algorithms of the path: no anchor's signature counts. For a pinned leaf, a path of only it.
Finding CheckKey(const CertificateRef& certificate, const Strength& strength);
Finding CheckSignatureAlgorithm(const CertificateRef& certificate, const Strength& strength);

// Whether `anchor` says that it is an authority. A root of before version 3 cannot; that it was made an anchor says so.
bool AnchorMayIssue(const Certificate& anchor);

// Whether `certificate` is fit to be an issuer, by itself: form, CA flag, key usage, critical extensions, strength. An
// anchor is taken as it is, save for what it says of itself.
Finding CheckIssuer(const CertificateRef& certificate, bool anchor, const Strength& strength);

// PathVerifier remembers what it found about each issuer and subject, however many paths they are on together.
class PathVerifier {
 public:
  // All must outlive this.
  PathVerifier(const Strength& strength, const PolicyOptions& policy, Work* work)
      : strength_(strength), policy_(policy), work_(work) {}

  // Verify checks form, strength, CA flags, key usage of CAs, path lengths, signatures, name constraints, policies and
  // critical extensions; not time, not use. Signatures from the anchor down: no key is used before its certificate was
  // vouched for. REQUIRES: at least two certificates.
  Finding Verify(const Path& path);

  // Whether it is already known that no path which goes on from `below` to `issuer` verifies.
  bool Fails(const Path& below, const Certificate& issuer) const;

 private:
  using Pair = std::pair<const Certificate*, const Certificate*>;  // issuer, subject

  Finding Signature(const CertificateRef& issuer, const CertificateRef& subject);
  Finding Names(const CertificateRef& issuer, const CertificateRef& subject, bool end);

  const Strength& strength_;
  const PolicyOptions& policy_;
  Work* const work_;
  absl::flat_hash_map<Pair, Finding> signatures_, names_;
};

}  // namespace gatehouse::certs
