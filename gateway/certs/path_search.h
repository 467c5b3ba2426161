// PathSearch walks the paths that lead from a leaf to the anchors of a trust store, by names (RFC 4158).
//
// Depth first, issuers in a fixed order: the order in which a client sent its certificates changes nothing. First the
// paths against which nothing is known; then, when none was accepted, the others, so that a refusal can say why.
//
// Ownership:  paths share their certificates.
// Threading:  thread-compatible; one a judgement.
// Units:      at most kMaxPathLength certificates a path; issuers tried and paths found count in Work, which ends the
//             search when it is exhausted.
#pragma once

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "gateway/certs/path.h"
#include "gateway/certs/trust_store.h"
#include "gateway/certs/work.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxPathLength = 10;  // certificates, anchor included

class PathSearch {
 public:
  // Takes a whole path; true accepts it and ends the search.
  using Visit = absl::FunctionRef<bool(const Path& path)>;
  // Whether a path that goes on from `below` to `issuer` is known to be refused.
  using Fails = absl::FunctionRef<bool(const Path& below, const CertificateRef& issuer, bool anchor)>;

  // `presented` is without the leaf. All must outlive this.
  PathSearch(absl::Span<const CertificateRef> presented, const TrustStore& store, Fails fails, Visit visit, Work* work);

  // Whether a path of `leaf` was accepted.
  bool Run(const CertificateRef& leaf);

 private:
  struct Step {
    CertificateRef issuer;
    bool anchor;
    int rank;  // by key identifiers: 0 equal, 1 not known, 2 different
  };

  bool Extend();
  bool Follow(const Step& step);
  std::vector<Step> StepsFrom(const CertificateRef& subject);
  void Consider(const CertificateRef& subject, const CertificateRef& issuer, bool anchor, std::vector<Step>* steps);
  bool Repeats(const Certificate& issuer) const;

  std::vector<CertificateRef> presented_;
  const TrustStore& store_;
  const Fails fails_;
  const Visit visit_;
  Work* const work_;
  Path path_;
  std::vector<Path> visited_;
  int failing_ = 0;           // steps of path_ that are known to fail
  bool follow_failing_ = false;
  bool left_out_ = false;     // a step that is known to fail was not followed
};

}  // namespace gatehouse::certs
