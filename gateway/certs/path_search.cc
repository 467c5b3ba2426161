#include "gateway/certs/path_search.h"

#include <algorithm>
#include <tuple>

namespace gatehouse::certs {
namespace {

bool SameDigest(const CertificateRef& a, const CertificateRef& b) { return a->sha256() == b->sha256(); }

int KeyIdRank(const Certificate& subject, const Certificate& issuer) {
  const absl::string_view wanted = subject.extensions().authority_key_id;
  const absl::string_view found = issuer.extensions().subject_key_id;
  if (wanted.empty() || found.empty()) return 1;
  return wanted == found ? 0 : 2;
}

}  // namespace

PathSearch::PathSearch(absl::Span<const CertificateRef> presented, const TrustStore& store, Fails fails, Visit visit,
                       Work* work)
    : store_(store), fails_(fails), visit_(visit), work_(work) {
  for (const CertificateRef& c : presented) {
    if (!store.IsAnchor(*c)) presented_.push_back(c);
  }
  std::sort(presented_.begin(), presented_.end(),
            [](const CertificateRef& a, const CertificateRef& b) { return a->sha256() < b->sha256(); });
  presented_.erase(std::unique(presented_.begin(), presented_.end(), SameDigest), presented_.end());
}

bool PathSearch::Run(const CertificateRef& leaf) {
  path_ = {leaf};
  if (Extend()) return true;
  if (!left_out_) return false;
  follow_failing_ = true;
  return Extend();
}

bool PathSearch::Extend() {
  for (const Step& step : StepsFrom(path_.back())) {
    if (work_->exhausted()) return false;
    const bool fails = fails_(path_, step.issuer, step.anchor);
    if (fails && !follow_failing_) {
      left_out_ = true;
      continue;
    }
    failing_ += fails ? 1 : 0;
    path_.push_back(step.issuer);
    const bool accepted = Follow(step);
    path_.pop_back();
    failing_ -= fails ? 1 : 0;
    if (accepted) return true;
  }
  return false;
}

bool PathSearch::Follow(const Step& step) {
  if (!step.anchor) return Extend();
  // The second time only what was left out the first time.
  if (follow_failing_ && (failing_ == 0 || std::find(visited_.begin(), visited_.end(), path_) != visited_.end())) {
    return false;
  }
  ++work_->candidates;
  if (work_->exhausted()) return false;
  visited_.push_back(path_);
  return visit_(path_);
}

std::vector<PathSearch::Step> PathSearch::StepsFrom(const CertificateRef& subject) {
  std::vector<Step> steps;
  for (const CertificateRef& anchor : store_.AnchorsFor(*subject)) Consider(subject, anchor, true, &steps);
  if (path_.size() + 1 < kMaxPathLength) {
    for (const CertificateRef& c : presented_) Consider(subject, c, false, &steps);
    for (const CertificateRef& c : store_.IntermediatesFor(*subject)) {
      const bool sent = std::binary_search(
          presented_.begin(), presented_.end(), c,
          [](const CertificateRef& a, const CertificateRef& b) { return a->sha256() < b->sha256(); });
      if (!sent && !store_.IsAnchor(*c)) Consider(subject, c, false, &steps);
    }
  }
  // Anchors first, the key that the subject names before others, the longer life before the shorter.
  std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) {
    return std::make_tuple(!a.anchor, a.rank, b.issuer->not_after(), a.issuer->sha256()) <
           std::make_tuple(!b.anchor, b.rank, a.issuer->not_after(), b.issuer->sha256());
  });
  return steps;
}

void PathSearch::Consider(const CertificateRef& subject, const CertificateRef& issuer, bool anchor,
                          std::vector<Step>* steps) {
  if (work_->exhausted()) return;
  ++work_->edges;
  if (X509_NAME_cmp(X509_get_subject_name(issuer->x509()), X509_get_issuer_name(subject->x509())) != 0) return;
  if (!Repeats(*issuer)) steps->push_back({issuer, anchor, KeyIdRank(*subject, *issuer)});
}

// A name and key that are on the path already lead nowhere new (RFC 4158 section 2.4.2).
bool PathSearch::Repeats(const Certificate& issuer) const {
  return std::any_of(path_.begin(), path_.end(), [&](const CertificateRef& c) {
    if (c->sha256() == issuer.sha256()) return true;
    return c != path_.front() && c->spki_sha256() == issuer.spki_sha256() &&
           X509_NAME_cmp(X509_get_subject_name(c->x509()), X509_get_subject_name(issuer.x509())) == 0;
  });
}

}  // namespace gatehouse::certs
