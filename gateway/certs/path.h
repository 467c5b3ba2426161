// Candidate paths from a leaf to an anchor, and the verification of one of them (RFC 5280 section 6).
//
// Ownership:  paths share their certificates.
// Threading:  pure.
// Units:      kMaxCandidates paths of at most kMaxPathLength certificates (validator.h).
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gateway/base/reason.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/options.h"
#include "gateway/certs/trust_store.h"

namespace gatehouse::certs {

using Path = std::vector<CertificateRef>;  // leaf first, anchor last

// Finding is what a check says; ok when reason is kNone.
struct Finding {
  Reason reason = Reason::kNone;
  CertificateRef certificate;  // the one at fault, when there is one
  std::string detail;
  bool ok() const { return reason == Reason::kNone; }
};

// CandidatePaths follows issuer names and key identifiers, anchors before intermediates, presented before stored. The
// order of `presented` (without the leaf) does not change which paths are found first.
std::vector<Path> CandidatePaths(const CertificateRef& leaf, absl::Span<const CertificateRef> presented,
                                 const TrustStore& store);

// Key and signature algorithms of the path: no anchor's signature counts. For a pinned leaf, a path of only it.
Finding CheckKey(const CertificateRef& certificate, const Strength& strength);
Finding CheckSignatureAlgorithm(const CertificateRef& certificate, const Strength& strength);

// VerifyPath checks form, strength, CA flags, key usage of CAs, path lengths, signatures, name constraints, policies
// and critical extensions; not time, not use. REQUIRES: at least two certificates.
Finding VerifyPath(const Path& path, const Strength& strength, const PolicyOptions& policy);

}  // namespace gatehouse::certs
