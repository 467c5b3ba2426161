// Peer is the client certificate of a connection; Judge gives and remembers what the schemes say about it.
//
// A returning client costs one digest: the peer, the verdict and the identity that follows from it are shared by all of
// its connections on a worker. Only a valid verdict is shared by leaf; what was refused is remembered for the digest of
// the whole presented list, so that nobody can spoil a leaf by leaving out its intermediates (SEMANTICS 1). Certificates
// are kept only of peers whom a scheme accepted: strangers, who may present anything, take no room and push out nobody.
// Connections and sessions hold their peer, whoever it is: of one whose certificates would take much it has the octets alone,
// and they are read again when it is judged.
//
// Ownership:  peers and judgements are immutable and shared.
// Threading:  Judge: one per worker. Peers are made once possession is proven, save for `verify_with`, whose verdicts
//             are not remembered.
// Units:      times are wall-clock; capacity in peers of kUsualFootprint, larger ones count for more.
// Errors:     a certificate that cannot be read gives a peer with `malformed`, which every scheme refuses.
#pragma once

#include <openssl/x509.h>

#include <deque>
#include <memory>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "gateway/base/clock.h"
#include "gateway/base/digest.h"
#include "gateway/base/lru.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/footprint.h"
#include "gateway/certs/validator.h"
#include "gateway/certs/verdict_cache.h"
#include "gateway/config/snapshot.h"
#include "gateway/events/event.h"
#include "gateway/identity/identity.h"
#include "gateway/metrics/worker_metrics.h"
#include "gateway/server/expiry_warner.h"
#include "gateway/server/presented_chains.h"
#include "gateway/server/revocation_desk.h"
#include "gateway/server/revocation_news.h"
#include "gateway/server/trust_uses.h"

namespace gatehouse::server {

struct Peer : std::enable_shared_from_this<Peer> {
  std::vector<certs::CertificateRef> presented;  // leaf first; empty when malformed, or large
  std::vector<std::shared_ptr<const std::string>> ders;  // of a large one, in place of these
  Sha256Digest leaf{};                           // SHA-256 of the leaf's DER
  Sha256Digest list{};                           // of the whole presented list
  bool malformed = false;
  size_t footprint = 0;  // of what no other peer brought before
  std::shared_ptr<const events::CertificateSummary> summary;
};
using PeerRef = std::shared_ptr<const Peer>;

// Judgement is one scheme's answer about one peer under one epoch: the verdict, and who the caller is if it is valid.
struct Judgement : certs::Verdict {
  uint64_t epoch = 0;
  identity::IdentityRef identity;
  absl::Time made;
  std::vector<TrustUses::Cell*> uses;  // what a valid verdict rests on
  // How far it was held against the news of its worker's Judge, and whether any concerned it.
  mutable uint64_t news = 0;
  mutable bool withdrawn = false;
};
using JudgementRef = std::shared_ptr<const Judgement>;

// PeerVerdicts is a connection's own memory: the judgement of each scheme that was asked about it.
class PeerVerdicts {
 public:
  const JudgementRef* Find(uint64_t epoch, absl::Time now) const;
  const JudgementRef& Remember(JudgementRef judgement);
  void Clear() { judgements_.clear(); }

 private:
  absl::InlinedVector<JudgementRef, 1> judgements_;  // few: one a scheme
  JudgementRef undecided_;                // the last that was: of no use to anybody later
};

// Witnesses are told of verdicts when they are computed. Each may be null.
struct Witnesses {
  PresentedChains* presented = nullptr;
  TrustUses::Table* uses = nullptr;
  ExpiryWarner* expiry = nullptr;
};

class Judge {
 public:
  // `desk` outlives this; null: nothing is known of revocation, and nobody can be asked.
  Judge(size_t capacity, const Clock& clock, metrics::WorkerMetrics* metrics, RevocationDesk* desk = nullptr,
        const Witnesses& witnesses = {})
      : peers_(capacity, capacity * certs::kUsualFootprint), issuers_(kIssuers), verdicts_(capacity, clock), clock_(clock), metrics_(metrics), desk_(desk), witnesses_(witnesses) {}

  // Recognise reads a presented list, leaf first. REQUIRES: not empty.
  // `remember` false: possession is not proven, nothing is kept.
  PeerRef Recognise(absl::Span<X509* const> presented, bool remember = true);
  // The same from DER, once possession was proven; null when one of it cannot be read.
  PeerRef Recognise(absl::Span<const std::string> presented);
  // Of returns what `scheme` (a client certificate scheme) says about `peer` now; the newest revision's epochs only.
  // `remember` false leaves no trace: possession is not proven.
  JudgementRef Of(const Peer& peer, const config::Scheme& scheme, bool remember = true);
  // Whether `scheme` is known to accept `peer`: from memory alone.
  bool KnowsValid(const Peer& peer, const config::Scheme& scheme) {
    return Current(verdicts_.FindValid(peer.leaf, scheme.epoch), clock_.Now()) != nullptr;
  }
  // The same as Of with a connection's own memory in front.
  // The same with a connection's own memory in front; what is new to that is a use of what the verdict rests on.
  const JudgementRef& Of(const Peer& peer, const config::Scheme& scheme, PeerVerdicts* memory);
  // What the scheme says when nobody is asked any more: never indeterminate. Not remembered, an answer may come yet.
  JudgementRef WithoutAsking(const Peer& peer, const config::Scheme& scheme);
  // Hear says what became known: verdicts that it concerns are judged anew when they are next asked for. It costs nothing
  // now, however many there are.
  void Hear(std::shared_ptr<const RevocationNews> news);
  // How many were heard.
  uint64_t news() const { return news_; }

 private:
  static constexpr size_t kIssuers = 256;
  const std::vector<certs::CertificateRef>& CertificatesOf(const Peer& peer);
  // Keeps whom a scheme accepts, and who issued it by `path`.
  void Keep(const Peer& peer, const std::vector<certs::CertificateRef>& path);
  // Whether nothing heard since concerns it, and it was made before `now`: the clock may be set back.
  bool IsCurrent(const Judgement& judgement, absl::Time now) const;
  // The judgement that was remembered, if it is current; else null.
  JudgementRef Current(certs::VerdictRef remembered, absl::Time now) const;
  std::shared_ptr<Judgement> Decide(const Peer& peer, const config::Scheme& scheme, bool ask, bool use);
  void Witness(const Peer& peer, const config::Scheme& scheme, bool proven, absl::Time now, Judgement* judgement);

  struct Weight {
    size_t operator()(const PeerRef& peer) const { return peer->footprint; }
  };
  LruCache<Sha256Digest, PeerRef, DigestHash, Weight> peers_;  // by list
  PeerRef latest_;  // read last: a handshake asks for it twice, before anybody accepts it
  Sha256Digest large_list_{};  // of the large peer that was read last; many schemes may be asked about it
  std::vector<certs::CertificateRef> large_;
  LruCache<Sha256Digest, certs::CertificateRef, DigestHash> issuers_;  // of accepted leaves, shared by peers
  certs::VerdictCache verdicts_;                       // holds nothing but Judgements
  const Clock& clock_;
  metrics::WorkerMetrics* const metrics_;
  RevocationDesk* const desk_;
  uint64_t news_ = 0;
  std::deque<std::shared_ptr<const RevocationNews>> recent_;  // the last of them
  const Witnesses witnesses_;
};

}  // namespace gatehouse::server
