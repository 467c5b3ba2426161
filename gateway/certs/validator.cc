#include "gateway/certs/validator.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/certs/path.h"
#include "gateway/certs/path_search.h"
#include "gateway/certs/requirements.h"
#include "gateway/certs/revocation_check.h"

namespace gatehouse::certs {
namespace {

constexpr size_t kMaxInquiries = 16;
constexpr absl::Duration kMaxRefusalAge = absl::Seconds(30);

enum class Step : uint8_t { kForm, kType, kPath, kValidity, kUse, kRequire, kRevocation, kDone };

const char* StepName(Step step) {
  static constexpr const char* kNames[] = {"form", "type",    "path",       "validity",
                                           "use",  "require", "revocation", ""};
  return kNames[static_cast<int>(step)];
}

// How far a failure got: the step, and within the path step how much of the path held.
int Progress(Step step, Reason reason) {
  int within = 0;
  if (step == Step::kPath) {
    switch (reason) {
      case Reason::kUnknownIssuer:
        within = 0;
        break;
      case Reason::kBadSignature:
        within = 1;
        break;
      case Reason::kMalformedCertificate:
        within = 2;
        break;
      case Reason::kWeakKeyOrSignature:
        within = 3;
        break;
      default:
        within = 4;
        break;
    }
  }
  // What is revoked says more than what is not known.
  if (step == Step::kRevocation && reason == Reason::kRevoked) within = 1;
  return static_cast<int>(step) * 8 + within;
}

class Judgement {
 public:
  Judgement(const CertificateRef& leaf, const SchemeOptions& options, absl::Time now,
            const RevocationSource* source, Trace* trace)
      : options_(options),
        source_(source),
        // Bounds of a validity period are whole seconds, both inclusive.
        now_(absl::FromUnixSeconds(absl::ToUnixSeconds(now))),
        trace_(trace) {
    verdict_.leaf = leaf;
  }

  Verdict Run(absl::Span<const CertificateRef> presented) {
    Verdict verdict = Decide(presented);
    if (trace_ != nullptr) trace_->work = work_;
    return verdict;
  }

 private:
  Verdict Decide(absl::Span<const CertificateRef> presented) {
    const CertificateRef& leaf = verdict_.leaf;
    const TrustStore* store = options_.trust_store.get();
    if (!Record(Step::kForm, Form(leaf))) return Refused(presented);
    if (!Record(Step::kType, Type(leaf))) return Refused(presented);

    if (store != nullptr && store->IsPinned(*leaf)) {
      verdict_.pinned = true;
      verdict_.by_key = store->IsPinnedByKey(*leaf);
      Note(Step::kPath, leaf, verdict_.by_key ? "its key is pinned: no path is needed, and its names are its holder's word" : "pinned: no path is needed");
      return Alone(leaf) ? Accepted({leaf}, {}) : Refused(presented);
    }
    if (leaf->self_signed()) {
      if (options_.self_signed_trust != SelfSignedTrust::kAny) {
        Record(Step::kPath, NotPinned(leaf, store));
        return Refused(presented);
      }
      verdict_.any_self_signed = true;
      Note(Step::kPath, leaf, "self_signed_trust ANY: any self-signed certificate is accepted");
      return Alone(leaf) ? Accepted({leaf}, {}) : Refused(presented);
    }
    if (store == nullptr) {
      Record(Step::kPath, {Reason::kUnknownIssuer, leaf, "the scheme has no trust store"});
      return Refused(presented);
    }
    if (store->IsAnchor(*leaf)) {
      Record(Step::kPath, NotPinned(leaf, store));
      return Refused(presented);
    }
    return Chained(presented, *store);
  }

  // Appends to the trace; remembers the failure that got furthest. Returns whether the step passed.
  bool Record(Step step, const Finding& finding) {
    if (trace_ != nullptr) {
      const CertificateRef& about =
          finding.certificate != nullptr ? finding.certificate : verdict_.leaf;
      trace_->steps.push_back({candidate_, StepName(step), finding.ok(), finding.reason,
                               about->subject(), finding.detail});
    }
    if (finding.ok()) return true;
    const int progress = Progress(step, finding.reason);
    if (progress > furthest_) {
      furthest_ = progress;
      verdict_.reason = finding.reason;
    }
    return false;
  }
  void Note(Step step, const CertificateRef& about, absl::string_view detail) {
    Record(step, {Reason::kNone, about, std::string(detail)});
  }

  static Finding Form(const CertificateRef& leaf) {
    if (leaf->defect().empty()) return {Reason::kNone, leaf, ""};
    return {Reason::kMalformedCertificate, leaf, leaf->defect()};
  }

  Finding Type(const CertificateRef& leaf) const {
    const char* type = leaf->self_signed() ? "self-signed" : "chained";
    const bool allowed = options_.allowed_certificate_types == CertificateTypes::kAll ||
                         (options_.allowed_certificate_types == CertificateTypes::kSelfSigned) ==
                             leaf->self_signed();
    return {allowed ? Reason::kNone : Reason::kTypeNotAllowed, leaf,
            allowed ? type : absl::StrCat(type, ", which the scheme does not allow")};
  }

  static Finding NotPinned(const CertificateRef& leaf, const TrustStore* store) {
    const bool anchor = store != nullptr && store->IsAnchor(*leaf);
    return {Reason::kNotPinned, leaf,
            anchor ? "is an anchor, which issues and is accepted itself only when also pinned"
                   : "self-signed and not pinned"};
  }

  Finding Validity(const Path& path) const {
    if (!options_.validate_validity_period) return {Reason::kNone, nullptr, "not checked"};
    for (const CertificateRef& c : path) {
      if (Finding f = ValidityOf(c); !f.ok()) return f;
    }
    return {};
  }
  Finding ValidityOf(const CertificateRef& c) const {
    if (now_ + options_.clock_skew < c->not_before()) {
      return {Reason::kNotYetValid, c,
              absl::StrCat("valid from ", absl::FormatTime(c->not_before(), absl::UTCTimeZone()))};
    }
    if (now_ - options_.clock_skew > c->not_after()) {
      return {Reason::kExpired, c,
              absl::StrCat("expired at ", absl::FormatTime(c->not_after(), absl::UTCTimeZone()))};
    }
    return {};
  }

  Finding Use(const Path& path) const {
    if (!options_.validate_certificate_use) return {Reason::kNone, nullptr, "not checked"};
    if (Finding f = UseOfLeaf(path.front()); !f.ok()) return f;
    for (size_t i = 1; i < path.size(); ++i) {
      if (Finding f = UseOfIssuer(path[i]); !f.ok()) return f;
    }
    return {};
  }
  Finding UseOfLeaf(const CertificateRef& c) const {
    const Extensions& e = c->extensions();
    if (!e.has_extended_key_usage && !options_.allow_absent_extended_key_usage) {
      return {Reason::kWrongUse, c, "no extended key usage; clientAuth is required"};
    }
    // anyExtendedKeyUsage alone does not do for a leaf.
    if (e.has_extended_key_usage && !e.client_auth) {
      return {Reason::kWrongUse, c, "extended key usage does not contain clientAuth"};
    }
    if (e.has_key_usage && !e.digital_signature) {
      return {Reason::kWrongUse, c, "key usage does not allow digitalSignature"};
    }
    return {};
  }
  static Finding UseOfIssuer(const CertificateRef& c) {
    const Extensions& e = c->extensions();
    if (!e.has_extended_key_usage || e.client_auth || e.any_extended_key_usage) return {};
    return {Reason::kWrongUse, c, "the authority's extended key usage does not allow clientAuth"};
  }

  Finding Require(const CertificateRef& leaf) const {
    std::string unmet = UnmetRequirement(*leaf, options_.require);
    return {unmet.empty() ? Reason::kNone : Reason::kRequirementNotMet, leaf, std::move(unmet)};
  }

  bool AfterPath(const Path& path) {
    return Record(Step::kValidity, Validity(path)) && Record(Step::kUse, Use(path)) &&
           Record(Step::kRequire, Require(path.front()));
  }

  // A certificate that is accepted without a path.
  bool Alone(const CertificateRef& leaf) {
    if (Finding key = CheckKey(leaf, options_.strength); !key.ok())
      return Record(Step::kPath, std::move(key));
    return AfterPath({leaf});
  }

  Verdict Chained(absl::Span<const CertificateRef> presented, const TrustStore& store) {
    PathVerifier verifier(options_.strength, options_.policy, &work_);
    const auto fails = [&](const Path& below, const CertificateRef& issuer, bool anchor) {
      return verifier.Fails(below, *issuer) || !CheckIssuer(issuer, anchor, options_.strength).ok() ||
             (options_.validate_validity_period && !ValidityOf(issuer).ok()) ||
             (options_.validate_certificate_use && !UseOfIssuer(issuer).ok());
    };
    Path accepted;
    const auto visit = [&](const Path& path) {
      if (trace_ != nullptr) trace_->paths.push_back({candidate_, path});
      if (Candidate(path, &verifier)) accepted = path;
      ++candidate_;
      return !accepted.empty();
    };
    if (PathSearch(presented.subspan(1), store, fails, visit, &work_).Run(verdict_.leaf)) {
      return Accepted(accepted, accepted, believed_until_);
    }
    if (work_.exhausted()) {
      Record(Step::kPath, {Reason::kConstraintViolation, verdict_.leaf,
                           "the certificates presented cost more work than is done for one judgement"});
    } else if (candidate_ == 0) {
      Record(Step::kPath, {Reason::kUnknownIssuer, verdict_.leaf,
                           absl::StrCat("no path from issuer \"", verdict_.leaf->issuer(), "\" to an anchor")});
    }
    if (!verdict_.inquiries.empty()) {
      verdict_.outcome = Outcome::kIndeterminate;
      verdict_.reason = Reason::kRevocationUnknown;
    } else if (!allowed_.empty()) {
      return Accepted(allowed_, allowed_, now_ + kAllowedAge);
    }
    return Refused(presented);
  }

  // Whether this path passes every step. One whose revocation is not known may be allowed when no other passes.
  bool Candidate(const Path& path, PathVerifier* verifier) {
    Finding finding = verifier->Verify(path);
    if (finding.ok() && trace_ != nullptr) {
      finding.detail = absl::StrCat(path.size(), " certificates, anchor \"", path.back()->subject(), "\"");
    }
    if (!Record(Step::kPath, std::move(finding)) || !AfterPath(path)) return false;
    if (options_.revocation.mode == RevocationMode::kNoCheck) return true;
    RevocationResult result = CheckRevocation(path, options_, now_, source_);
    for (Finding& said : result.findings) Record(Step::kRevocation, std::move(said));
    switch (result.decision) {
      case RevocationResult::Decision::kPassed:
        verdict_.inquiries.clear();
        believed_until_ = result.believed_until;
        return true;
      case RevocationResult::Decision::kAllowed:
        if (allowed_.empty()) allowed_ = path;
        break;
      case RevocationResult::Decision::kUndecided:
        for (Inquiry& inquiry : result.inquiries) AddInquiry(std::move(inquiry));
        break;
      case RevocationResult::Decision::kRefused:
        break;
    }
    return false;
  }

  void AddInquiry(Inquiry inquiry) {
    const std::string key = inquiry.Key();
    for (const Inquiry& known : verdict_.inquiries) {
      if (known.Key() == key) return;
    }
    if (verdict_.inquiries.size() < kMaxInquiries) verdict_.inquiries.push_back(std::move(inquiry));
  }

  Verdict Accepted(const Path& judged, Path path,
                   absl::Time believed_until = absl::InfiniteFuture()) {
    verdict_.outcome = Outcome::kValid;
    verdict_.reason = Reason::kNone;
    verdict_.path = std::move(path);
    verdict_.fresh_until = std::min(now_ + options_.verdict_ttl, believed_until);
    if (options_.validate_validity_period) {
      for (const CertificateRef& c : judged) {
        verdict_.fresh_until = std::min(verdict_.fresh_until, c->not_after() + options_.clock_skew);
      }
    }
    return std::move(verdict_);
  }

  Verdict Refused(absl::Span<const CertificateRef> presented) {
    verdict_.pinned = verdict_.by_key = false;
    verdict_.any_self_signed = false;
    verdict_.fresh_until = now_ + std::min(options_.verdict_ttl, kMaxRefusalAge);
    for (const CertificateRef& c : presented) {
      const absl::Time begins = c->not_before() - options_.clock_skew;
      if (begins > now_) verdict_.fresh_until = std::min(verdict_.fresh_until, begins);
    }
    if (verdict_.outcome == Outcome::kIndeterminate) verdict_.fresh_until = now_;
    return std::move(verdict_);
  }

  const SchemeOptions& options_;
  const RevocationSource* const source_;
  const absl::Time now_;
  Trace* const trace_;
  Verdict verdict_;
  Work work_;
  Path allowed_;                                         // the first that `on_unknown` lets through
  absl::Time believed_until_ = absl::InfiniteFuture();  // what is known of the revocation of the accepted path
  uint32_t candidate_ = 0;
  int furthest_ = -1;
};

}  // namespace

Verdict Judge(absl::Span<const CertificateRef> presented, const SchemeOptions& options,
              absl::Time now, const RevocationSource* revocation, Trace* trace) {
  if (presented.empty() || presented.size() > kMaxPresented) {
    Verdict verdict;
    verdict.reason = presented.empty() ? Reason::kNoCertificate : Reason::kLimitExceeded;
    verdict.fresh_until = now + std::min(options.verdict_ttl, kMaxRefusalAge);
    if (!presented.empty()) verdict.leaf = presented.front();
    if (trace != nullptr) {
      trace->steps.push_back(
          {0, "form", false, verdict.reason, "",
           absl::StrCat(presented.size(), " certificates presented, 1 to ", kMaxPresented)});
    }
    return verdict;
  }
  return Judgement(presented.front(), options, now, revocation, trace).Run(presented);
}

}  // namespace gatehouse::certs
