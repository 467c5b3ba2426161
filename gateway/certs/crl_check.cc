#include "gateway/certs/crl_check.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/certs/names.h"
#include "gateway/certs/path_search.h"

namespace gatehouse::certs {
namespace {

// A signer that is not on the path is itself looked for in lists, but not those who sign these.
constexpr int kMaxDepth = 1;

const X509_NAME* SubjectOf(const Certificate& certificate) {
  return X509_get_subject_name(certificate.x509());
}
const X509_NAME* IssuerOf(const Certificate& certificate) {
  return X509_get_issuer_name(certificate.x509());
}

bool SameName(const X509_NAME* a, const X509_NAME* b) { return X509_NAME_cmp(a, b) == 0; }

// RFC 5280 section 6.3.3: what is not named by a distribution point is looked for under the issuer's own name.
DistributionPoint ImpliedPoint(const Certificate& subject) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, GEN_DIRNAME, X509_NAME_dup(IssuerOf(subject)));
  DistributionPoint point;
  point.names.reset(sk_GENERAL_NAME_new_null());
  sk_GENERAL_NAME_push(point.names.get(), name);
  return point;
}

// RFC 5280 section 6.3.3 b and d: the reasons for which a list answers for a certificate at this point.
ReasonMask Covered(const Crl& list, const DistributionPoint& point, const Certificate& subject) {
  const CrlScope& scope = list.scope();
  if (point.crl_issuers != nullptr) {
    if (!HoldsDirectoryName(point.crl_issuers.get(), list.issuer_name()) || !scope.indirect) {
      return 0;
    }
  } else if (!SameName(list.issuer_name(), IssuerOf(subject))) {
    return 0;
  }
  if (scope.names != nullptr &&
      !ShareName(scope.names.get(),
                 point.names != nullptr ? point.names.get() : point.crl_issuers.get())) {
    return 0;
  }
  if (scope.attribute_certificates_only || (scope.user_certificates_only && subject.is_ca()) ||
      (scope.authorities_only && !subject.is_ca())) {
    return 0;
  }
  return scope.reasons & point.reasons;
}

// Of cRLNumbers.
bool Less(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

// RFC 5280 section 5.2.4: whether a delta brings a complete list up to date.
bool Applies(const Crl& delta, const Crl& base) {
  return SameName(delta.issuer_name(), base.issuer_name()) &&
         delta.scope_der() == base.scope_der() &&
         delta.authority_key_id() == base.authority_key_id() && !base.number().empty() &&
         !delta.number().empty() && !Less(base.number(), *delta.delta_base()) &&
         Less(base.number(), delta.number());
}

std::string Describe(const HeldCrl& held) {
  return absl::StrCat(held.list->is_delta() ? "delta CRL" : "CRL", " of ",
                      EscapeText(held.list->issuer()), " from ",
                      held.from.empty() ? "a place not told" : EscapeText(held.from));
}

}  // namespace

absl::Time BelievedUntil(absl::Time made, std::optional<absl::Time> next_update,
                         std::optional<absl::Time> received, const RevocationOptions& options) {
  const absl::Time promised =
      next_update ? *next_update + options.skew
                  : std::min(made + options.skew, received.value_or(made)) + kBeliefWithoutNextUpdate;
  return received ? std::min(promised, *received + options.max_age) : promised;
}

bool CrlCheck::IsCurrent(const HeldCrl& held) const {
  const Crl& list = *held.list;
  return list.this_update() <= now_ + options_.revocation.skew &&
         now_ <= BelievedUntil(list.this_update(), list.next_update(), held.received,
                               options_.revocation);
}

std::vector<HeldCrl> CrlCheck::ListsFor(const CertificateRef& subject,
                                        const std::vector<DistributionPoint>& points) const {
  std::vector<uint64_t> names = {NameHash(IssuerOf(*subject))};
  for (const DistributionPoint& point : points) {
    for (int i = 0; i < sk_GENERAL_NAME_num(point.crl_issuers.get()); ++i) {
      const GENERAL_NAME* name = sk_GENERAL_NAME_value(point.crl_issuers.get(), i);
      if (name->type == GEN_DIRNAME) names.push_back(NameHash(name->d.directoryName));
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::vector<HeldCrl> lists;
  for (uint64_t name : names) {
    if (options_.trust_store != nullptr) {
      for (const CrlRef& list : options_.trust_store->CrlsOf(name)) {
        lists.push_back({list, "the trust store"});
      }
    }
    if (source_ != nullptr) {
      for (HeldCrl& held : source_->CrlsOf(name)) lists.push_back(std::move(held));
    }
  }
  // The newest first: what it covers, an older one does not.
  std::stable_sort(lists.begin(), lists.end(), [](const HeldCrl& a, const HeldCrl& b) {
    if (a.list->this_update() != b.list->this_update()) return a.list->this_update() > b.list->this_update();
    return Less(b.list->number(), a.list->number());
  });
  return lists;
}

CrlFinding CrlCheck::Check(const CertificateRef& subject, const CertificateRef& issuer,
                           int depth) {
  std::vector<DistributionPoint> points = DistributionPointsOf(*subject);
  points.push_back(ImpliedPoint(*subject));
  CrlFinding finding;
  std::vector<Candidate> complete, deltas;
  for (HeldCrl& held : ListsFor(subject, points)) {
    ReasonMask reasons = 0;
    for (const DistributionPoint& point : points) reasons |= Covered(*held.list, point, *subject);
    if (reasons == 0) {
      finding.note = absl::StrCat(Describe(held), " does not cover this certificate");
      continue;
    }
    (held.list->is_delta() ? deltas : complete).push_back({std::move(held), reasons});
  }
  const absl::string_view name = NameDer(IssuerOf(*subject));
  const std::string serial = SerialOf(*subject);
  const auto revoked = [&](const Candidate& by, const CrlEntry& entry) {
    finding.status = CrlFinding::Status::kRevoked;
    finding.entry = entry;
    finding.this_update = by.held.list->this_update();
    finding.source = Describe(by.held);
    return finding;
  };

  ReasonMask covered = 0;
  finding.by_delta = true;
  struct Signed {
    const Crl* list;
    Sha256Digest key;
  };
  std::vector<Signed> signed_lists;  // complete ones that counted, current or not
  // A list is superseded, and its reasons are covered, only by a newer one of the same key: an authority that changed
  // its key may go on listing under the old one what it issued under it.
  std::map<Sha256Digest, ReasonMask> covered_by;
  for (const Candidate& candidate : complete) {
    const Crl& list = *candidate.held.list;
    // Histories of lists are kept. Of what can change nothing that a newer one says the signature is not looked at.
    bool names_it = list.Find(name, serial).has_value();
    bool current = IsCurrent(candidate.held);
    for (const Candidate& delta : deltas) {
      if (!Applies(*delta.held.list, list)) continue;
      names_it = names_it || delta.held.list->Find(name, serial).has_value();
      current = current || IsCurrent(delta.held);
    }
    if (!signed_lists.empty() && !names_it && (!current || (candidate.reasons & ~covered) == 0)) continue;
    const CertificateRef signer = SignerOf(candidate.held.list, issuer, depth, &finding.note);
    if (signer == nullptr) continue;
    const Sha256Digest& key = signer->spki_sha256();
    if ((candidate.reasons & ~covered_by[key]) == 0 ||
        std::any_of(signed_lists.begin(), signed_lists.end(), [&](const Signed& newer) {
          return newer.key == key && list.MayBeReplacedBy(*newer.list);
        })) {
      continue;
    }
    signed_lists.push_back({&list, key});
    finding.freshest_urls.insert(finding.freshest_urls.end(), list.freshest_urls().begin(),
                                 list.freshest_urls().end());

    const Candidate* newest = &candidate;  // the list, or the delta that brings it up to date
    std::optional<CrlEntry> entry = list.Find(name, serial);
    for (const Candidate& delta : deltas) {
      if (!Applies(*delta.held.list, list)) continue;
      const bool delta_current = IsCurrent(delta.held);
      std::optional<CrlEntry> change = delta.held.list->Find(name, serial);
      if ((!delta_current && !change) || !VerifyWith(*delta.held.list, *signer).ok()) continue;
      if (change && change->reason != RevocationReason::kRemoveFromCrl) {
        return revoked(delta, *change);
      }
      if (!delta_current) continue;
      // RFC 5280 section 5.3.1: what is removed was on hold. Any other revocation stands (decision 32).
      if (change && entry && !IsForGood(entry->reason)) entry.reset();
      newest = &delta;
      break;
    }
    finding.by_delta = finding.by_delta && newest != &candidate;
    if (entry) return revoked(candidate, *entry);
    const Crl& latest = *newest->held.list;
    if (!IsCurrent(newest->held)) {
      finding.note = absl::StrCat(Describe(newest->held), " of ",
                                  absl::FormatTime(latest.this_update(), absl::UTCTimeZone()),
                                  latest.this_update() > now_ ? " is from the future"
                                                              : " is too old");
      continue;
    }
    covered |= candidate.reasons;
    covered_by[key] |= candidate.reasons;
    finding.this_update = std::min(finding.this_update, latest.this_update());
    finding.believed_until = std::min(
        finding.believed_until,
        BelievedUntil(latest.this_update(), latest.next_update(), newest->held.received,
                      options_.revocation));
    absl::StrAppend(&finding.source, finding.source.empty() ? "" : " and ",
                    Describe(newest->held));
  }
  // A delta whose base is not held says nothing about what it leaves out, but what it lists is revoked.
  for (const Candidate& delta : deltas) {
    const Crl& list = *delta.held.list;
    if (std::any_of(signed_lists.begin(), signed_lists.end(), [&](const Signed& base) {
          return base.list->this_update() >= list.this_update() || Applies(list, *base.list);
        })) {
      continue;
    }
    const std::optional<CrlEntry> entry = list.Find(name, serial);
    if (!entry || entry->reason == RevocationReason::kRemoveFromCrl) continue;
    if (SignerOf(delta.held.list, issuer, depth, &finding.note) != nullptr) {
      return revoked(delta, *entry);
    }
  }
  if (covered == kAllReasons) {
    finding.status = CrlFinding::Status::kGood;
  } else if (covered != 0) {
    finding.note = absl::StrCat(finding.source, " does not cover every reason");
  }
  return finding;
}

absl::Status CrlCheck::VerifyWith(const Crl& list, const Certificate& signer) {
  if (!list.KnownSignedBy(signer).has_value() && ++signatures_ > kMaxListSignatures) {
    return absl::InvalidArgumentError("too many signatures of lists to verify");
  }
  return list.VerifySignature(signer, options_.strength);
}

// RFC 5280 section 6.3.3 f and g.
CertificateRef CrlCheck::SignerOf(const CrlRef& list, const CertificateRef& issuer, int depth,
                                  std::string* note) {
  const std::pair<const Crl*, int> key(list.get(), depth);
  if (const auto known = signers_.find(key); known != signers_.end()) return known->second;
  std::vector<CertificateRef> candidates;
  const auto add = [&](const CertificateRef& c) {
    if (!SameName(SubjectOf(*c), list->issuer_name())) return;
    const ASN1_OCTET_STRING* id = X509_get0_subject_key_id(c->x509());
    if (id != nullptr && !list->authority_key_id().empty() &&
        absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(id)),
                          static_cast<size_t>(ASN1_STRING_length(id))) !=
            list->authority_key_id()) {
      return;
    }
    for (const CertificateRef& seen : candidates) {
      if (seen->sha256() == c->sha256()) return;
    }
    candidates.push_back(c);
  };
  add(issuer);
  for (size_t i = 1; i < path_.size(); ++i) add(path_[i]);
  const size_t on_path = candidates.size();
  if (depth < kMaxDepth && options_.trust_store != nullptr) {
    const uint64_t name = list->issuer_hash();
    for (const CertificateRef& c : options_.trust_store->AnchorsNamed(name)) add(c);
    for (const CertificateRef& c : options_.trust_store->IntermediatesNamed(name)) add(c);
  }
  std::string why = "has no signer on the path or in the trust store";
  CertificateRef signer;
  for (size_t i = 0; i < candidates.size() && signer == nullptr; ++i) {
    const uint32_t usage = X509_get_key_usage(candidates[i]->x509());
    if (usage != UINT32_MAX && (usage & KU_CRL_SIGN) == 0) {
      why = "is by a certificate whose key usage does not allow cRLSign";
      continue;
    }
    if (absl::Status verified = VerifyWith(*list, *candidates[i]); !verified.ok()) {
      why = absl::StrCat("cannot be verified: ", verified.message());
      continue;
    }
    if (i < on_path || HasPathToAnchor(candidates[i], depth, &why)) signer = candidates[i];
  }
  if (signer == nullptr) *note = absl::StrCat("CRL of ", EscapeText(list->issuer()), " ", why);
  if (signer != nullptr || !exhausted()) signers_[key] = signer;
  return signer;
}

// The signer's own path must end at the anchor that the certificate's path ends at.
bool CrlCheck::HasPathToAnchor(const CertificateRef& signer, int depth, std::string* note) {
  const CertificateRef& anchor = path_.back();
  if (signer->sha256() == anchor->sha256()) return true;
  *note = "is by a certificate that has no path to the same anchor";
  if (!signer->defect().empty()) return false;
  const absl::Span<const CertificateRef> middle =
      absl::MakeConstSpan(path_).subspan(1, path_.size() - 1);
  Work work;
  const PolicyOptions any_policy;
  PathVerifier verifier(options_.strength, any_policy, &work);
  bool revoked = false;
  const auto fails = [&](const Path&, const CertificateRef&, bool) { return revoked; };
  const auto holds = [&](const Path& path) {
    if (revoked || path.back()->sha256() != anchor->sha256()) return false;
    if (signatures_ + static_cast<int>(work.signatures + path.size()) > kMaxListSignatures) return false;
    if (!verifier.Verify(path).ok()) return false;
    for (size_t i = 0; i < path.size(); ++i) {
      if (options_.validate_validity_period && (now_ + options_.clock_skew < path[i]->not_before() ||
                                                now_ - options_.clock_skew > path[i]->not_after())) {
        return false;
      }
      const bool known = std::any_of(path_.begin() + 1, path_.end(), [&](const CertificateRef& c) {
        return c->sha256() == path[i]->sha256();
      });
      if (!known && i + 1 < path.size() &&
          Check(path[i], path[i + 1], depth + 1).status == CrlFinding::Status::kRevoked) {
        *note = "is by a certificate that is revoked";
        revoked = true;
        return false;
      }
    }
    return true;
  };
  const bool found = PathSearch(middle, *options_.trust_store, fails, holds, &work).Run(signer);
  signatures_ += static_cast<int>(work.signatures);
  return found;
}

}  // namespace gatehouse::certs
