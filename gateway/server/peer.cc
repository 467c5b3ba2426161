#include "gateway/server/peer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "gateway/certs/names.h"
#include "gateway/identity/claims.h"

namespace gatehouse::server {
namespace {

constexpr absl::Duration kUnknownAge = absl::Seconds(1);
// More than any ordinary list takes.
constexpr size_t kLarge = 4 * certs::kUsualFootprint;
constexpr size_t kMostNews = 256;
// A clock is corrected by less all the time.
constexpr absl::Duration kClockStep = absl::Minutes(1);

std::string DerOf(X509* certificate) {
  int size = i2d_X509(certificate, nullptr);
  std::string der(size > 0 ? static_cast<size_t>(size) : 0, '\0');
  unsigned char* p = reinterpret_cast<unsigned char*>(der.data());
  if (size <= 0 || i2d_X509(certificate, &p) != size) {
    TakeOpenSslError();
    return {};
  }
  return der;
}

}  // namespace

const JudgementRef* PeerVerdicts::Find(uint64_t epoch, absl::Time now) const {
  for (const JudgementRef& j : judgements_) {
    if (j->epoch == epoch) return now < j->fresh_until ? &j : nullptr;
  }
  return nullptr;
}

const JudgementRef& PeerVerdicts::Remember(JudgementRef judgement) {
  if (judgement->outcome == certs::Outcome::kIndeterminate) return undecided_ = std::move(judgement);
  // The schemes that one client's requests ask are few; what is left of older epochs makes room. With more, the one that goes
  // is found again in the worker's memory: it costs a look-up, and nothing is judged twice.
  constexpr size_t kMost = 8;
  for (JudgementRef& j : judgements_) {
    if (j->epoch == judgement->epoch) return j = std::move(judgement);
  }
  if (judgements_.size() >= kMost) judgements_.erase(judgements_.begin());
  return judgements_.emplace_back(std::move(judgement));
}

void Judge::Keep(const Peer& peer, const std::vector<certs::CertificateRef>& path) {
  if (peers_.Find(peer.list) != nullptr) return;
  const std::vector<certs::CertificateRef>& presented = CertificatesOf(peer);
  for (size_t i = 1; i < presented.size(); ++i) {
    const certs::CertificateRef& issuer = presented[i];
    const bool used = std::any_of(path.begin(), path.end(), [&](const auto& c) { return c->sha256() == issuer->sha256(); });
    if (used) issuers_.Put(issuer->sha256(), issuer);
  }
  if (PeerRef shared = peer.weak_from_this().lock()) peers_.Put(peer.list, std::move(shared));
}

const std::vector<certs::CertificateRef>& Judge::CertificatesOf(const Peer& peer) {
  if (peer.ders.empty()) return peer.presented;
  if (large_list_ == peer.list) return large_;
  large_list_ = peer.list;
  large_.clear();
  for (const std::shared_ptr<const std::string>& der : peer.ders) {
    absl::StatusOr<certs::CertificateRef> certificate = certs::Certificate::FromDer(*der);
    if (certificate.ok()) large_.push_back(*std::move(certificate));  // it was read before
  }
  return large_;
}

void Judge::Hear(std::shared_ptr<const RevocationNews> news) {
  ++news_;
  recent_.push_back(std::move(news));
  if (recent_.size() > kMostNews) recent_.pop_front();
}

JudgementRef Judge::Current(certs::VerdictRef remembered, absl::Time now) const {
  auto judgement = std::static_pointer_cast<const Judgement>(std::move(remembered));
  return judgement != nullptr && IsCurrent(*judgement, now) ? judgement : nullptr;
}

bool Judge::IsCurrent(const Judgement& judgement, absl::Time now) const {
  if (now < judgement.made - kClockStep) return false;
  if (judgement.news != news_) {
    const uint64_t missed = news_ - judgement.news;
    judgement.news = news_;
    judgement.withdrawn = judgement.withdrawn || missed > recent_.size();
    for (size_t i = recent_.size() - std::min<uint64_t>(missed, recent_.size()); i < recent_.size(); ++i) {
      judgement.withdrawn = judgement.withdrawn || recent_[i]->Concerns(judgement);
    }
  }
  return !judgement.withdrawn;
}

PeerRef Judge::Recognise(absl::Span<X509* const> presented, bool remember) {
  std::vector<Sha256Digest> digests;
  digests.reserve(presented.size());
  std::string all;  // each digest has a fixed length, so that two lists cannot run together into one
  for (X509* certificate : presented) {
    const Sha256Digest& digest = digests.emplace_back(Sha256(DerOf(certificate)));
    all.append(AsView(digest).data(), digest.size());
  }
  const Sha256Digest leaf = digests.front();
  const Sha256Digest list = presented.size() == 1 ? leaf : Sha256(all);
  if (PeerRef* known = peers_.Find(list)) return *known;
  if (latest_ != nullptr && latest_->list == list) return latest_;

  auto peer = std::make_shared<Peer>();
  peer->leaf = leaf;
  peer->list = list;
  // One more than is judged, so that the judgement says that there were too many.
  const size_t read = std::min(presented.size(), certs::kMaxPresented + 1);
  for (size_t i = 0; i < read; ++i) {
    certs::CertificateRef* shared = i > 0 ? issuers_.Find(digests[i]) : nullptr;
    absl::StatusOr<certs::CertificateRef> certificate =
        shared != nullptr ? *shared : certs::Certificate::FromX509(presented[i]);
    if (certificate.ok()) {
      if (shared == nullptr) peer->footprint += certs::Footprint(**certificate);
      peer->presented.push_back(*std::move(certificate));
    } else if (peer->presented.empty()) {
      peer->malformed = true;
      break;
    }
    // An intermediate that cannot be read is left out: it proves nothing, and the path may do without.
  }
  auto summary = std::make_shared<events::CertificateSummary>();
  summary->sha256 = leaf;
  if (!peer->malformed) {
    const certs::Certificate& c = *peer->presented.front();
    summary->subject = c.subject();
    summary->issuer = c.issuer();
    summary->serial = c.serial_hex_dotnet();
    summary->not_after = c.not_after();
  }
  peer->summary = std::move(summary);
  if (peer->footprint > kLarge) {
    large_list_ = list;
    large_ = std::exchange(peer->presented, {});
    peer->footprint = 0;
    for (const certs::CertificateRef& certificate : large_) {
      peer->ders.push_back(certificate->shared_der());
      peer->footprint += certificate->der().size();
    }
  }
  if (!remember) return peer;
  return latest_ = std::move(peer);
}

PeerRef Judge::Recognise(absl::Span<const std::string> presented) {
  std::string all;
  for (const std::string& der : presented) {
    const Sha256Digest digest = Sha256(der);
    all.append(AsView(digest).data(), digest.size());
  }
  // Who is known is not parsed again.
  if (presented.size() > 1) {
    if (PeerRef* known = peers_.Find(Sha256(all))) return *known;
  } else if (PeerRef* known = peers_.Find(Sha256(presented.front()))) {
    return *known;
  }
  std::vector<UniqueX509> owners;
  std::vector<X509*> list;
  for (const std::string& der : presented) {
    const auto* p = reinterpret_cast<const unsigned char*>(der.data());
    owners.emplace_back(d2i_X509(nullptr, &p, static_cast<long>(der.size())));
    if (owners.back() == nullptr) {
      TakeOpenSslError();
      return nullptr;
    }
    list.push_back(owners.back().get());
  }
  return Recognise(absl::MakeConstSpan(list));
}

JudgementRef Judge::Of(const Peer& peer, const config::Scheme& scheme, bool remember) {
  absl::Time now = clock_.Now();
  JudgementRef known = Current(verdicts_.FindValid(peer.leaf, scheme.epoch), now);
  if (known == nullptr) known = Current(verdicts_.FindRefused(peer.list, scheme.epoch), now);
  if (known != nullptr) {
    metrics_->verdict_cache_hits.Add();
    if (remember && known->outcome == certs::Outcome::kValid) Keep(peer, known->path);
    return known;
  }
  metrics_->verdict_cache_misses.Add();
  std::shared_ptr<Judgement> judgement = Decide(peer, scheme, true, remember);
  // What is unknown now may be known in a moment.
  if (judgement->reason == Reason::kRevocationUnknown) {
    judgement->fresh_until = std::min(judgement->fresh_until, now + kUnknownAge);
  }
  if (remember && judgement->outcome != certs::Outcome::kIndeterminate) {
    verdicts_.Store(peer.list, scheme.epoch, judgement);
    if (judgement->outcome == certs::Outcome::kValid) Keep(peer, judgement->path);
  }
  return judgement;
}

JudgementRef Judge::WithoutAsking(const Peer& peer, const config::Scheme& scheme) {
  return Decide(peer, scheme, false, true);
}

std::shared_ptr<Judgement> Judge::Decide(const Peer& peer, const config::Scheme& scheme, bool ask, bool use) {
  const absl::Time now = clock_.Now();
  auto judgement = std::make_shared<Judgement>();
  judgement->epoch = scheme.epoch;
  judgement->made = now;
  judgement->news = news_;
  if (peer.malformed) {
    judgement->reason = Reason::kMalformedCertificate;
    judgement->fresh_until = absl::InfiniteFuture();
  } else {
    certs::Verdict& verdict = *judgement;
    const certs::SchemeOptions& options = *scheme.certificate();
    std::optional<RevocationDesk::Source> source;
    if (desk_ != nullptr && options.revocation.mode != certs::RevocationMode::kNoCheck) {
      source.emplace(desk_, options, ask, use);
    }
    verdict = certs::Judge(CertificatesOf(peer), options, now, source ? &*source : nullptr);
    if (verdict.outcome == certs::Outcome::kValid) {
      judgement->identity = identity::CertificateIdentity(verdict.leaf, verdict.path, scheme.claims, verdict.pinned,
                                                          verdict.any_self_signed, verdict.by_key);
    }
  }
  Witness(peer, scheme, use, now, judgement.get());
  if (judgement->outcome == certs::Outcome::kInvalid) {  // it is remembered, and they may be anybody's
    judgement->leaf = nullptr;
    judgement->path.clear();
  }
  return judgement;
}

const JudgementRef& Judge::Of(const Peer& peer, const config::Scheme& scheme, PeerVerdicts* memory) {
  const absl::Time now = clock_.Now();
  const JudgementRef* known = memory->Find(scheme.epoch, now);
  if (known != nullptr && IsCurrent(**known, now)) return *known;
  const JudgementRef& judgement = memory->Remember(Of(peer, scheme));
  for (TrustUses::Cell* cell : judgement->uses) cell->Add(now);
  return judgement;
}

void Judge::Witness(const Peer& peer, const config::Scheme& scheme, bool proven, absl::Time now,
                    Judgement* judgement) {
  if (judgement->outcome != certs::Outcome::kIndeterminate && witnesses_.presented != nullptr) {
    using As = PresentedChains::As;
    const bool accepted = judgement->outcome == certs::Outcome::kValid;
    // What verify_with accepts before the key is proven is judged once more, and remembered then.
    if (proven || !accepted) {
      witnesses_.presented->Remember(peer.leaf, CertificatesOf(peer),
                                     !proven ? As::kUnproven : accepted ? As::kAccepted : As::kRefused);
    }
  }
  if (judgement->outcome != certs::Outcome::kValid || !proven) return;
  if (witnesses_.expiry != nullptr) witnesses_.expiry->Client(*judgement->leaf, scheme.name, now);
  const certs::TrustStore* store = scheme.certificate()->trust_store.get();
  if (witnesses_.uses == nullptr || store == nullptr) return;
  const auto rests = [&](const Sha256Digest& what) {
    TrustUses::Cell* cell = witnesses_.uses->Find(store->name(), what);
    std::vector<TrustUses::Cell*>& uses = judgement->uses;
    if (cell != nullptr && std::find(uses.begin(), uses.end(), cell) == uses.end()) uses.push_back(cell);
  };
  for (size_t i = 1; i < judgement->path.size(); ++i) rests(judgement->path[i]->sha256());
  if (scheme.certificate()->revocation.mode != certs::RevocationMode::kNoCheck) {
    for (const certs::CertificateRef& certificate : judgement->path) {
      for (const certs::CrlRef& crl : store->CrlsOf(certs::NameHash(X509_get_issuer_name(certificate->x509())))) {
        rests(crl->sha256());
      }
    }
  }
  if (judgement->pinned) rests(store->PinOf(*judgement->leaf));
}

}  // namespace gatehouse::server
