#include "gateway/upstream/balancer.h"

#include <algorithm>
#include <utility>

namespace gatehouse::upstream {
namespace {

constexpr absl::Duration kRefusedRest = absl::Seconds(1);
constexpr uint32_t kMaxRests = 10;  // a rest is at most so many times the first

// Ranks of Balancer::Rank.
constexpr int kUnfit = 0;
constexpr int kBest = 4;

bool Contains(absl::Span<const Site* const> sites, const Site& site) {
  return std::find(sites.begin(), sites.end(), &site) != sites.end();
}

}  // namespace

Balancer::~Balancer() {
  for (const SiteRef& site : sites_) {
    if (site->ejected()) Return(*site);
  }
}

std::vector<SiteRef> Balancer::Use(const UpstreamOptions& options) {
  balance_ = options.balance;
  ejection_ = options.ejection;
  worker_ = options.worker;
  std::vector<SiteRef> before = std::exchange(sites_, {});
  for (const EndpointRef& endpoint : options.endpoints) {
    auto it = std::find_if(before.begin(), before.end(),
                           [&](const SiteRef& site) { return site != nullptr && site->endpoint == endpoint; });
    if (it != before.end()) {
      sites_.push_back(std::exchange(*it, nullptr));
      continue;
    }
    auto site = std::make_shared<Site>();
    site->endpoint = endpoint;
    site->counts = &endpoint->worker(worker_);
    sites_.push_back(std::move(site));
  }
  std::erase(before, nullptr);
  for (const SiteRef& site : before) {
    site->gone = true;
    if (site->ejected()) Return(*site);
  }
  if (ejection_.consecutive_failures == 0) {
    for (const SiteRef& site : sites_) {
      if (site->ejected()) Return(*site);
    }
  }
  // Workers do not all begin with the same one.
  random_ ^= (worker_ + 1) * 0xBF58476D1CE4E5B9;
  next_ = sites_.empty() ? 0 : worker_ % sites_.size();
  Arm();
  return before;
}

int Balancer::Rank(const Site& site, absl::Span<const Site* const> tried) const {
  if (!site.healthy()) return kUnfit;
  if (site.ejected()) return 1;
  if (!tried.empty() && Contains(tried, site)) return 2;
  if (site.resting_until.nanos != 0 && site.resting_until > loop_->now()) return 3;
  // For a second try, one that failed lately is no good choice.
  return tried.empty() || site.failures == 0 ? kBest : 3;
}

size_t Balancer::Draw() {
  // xorshift64*: any will do, nobody gains by guessing it.
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return static_cast<size_t>((random_ * 0x2545F4914F6CDD1D) >> 32) % sites_.size();
}

const SiteRef* Balancer::Pick(absl::Span<const Site* const> tried) {
  const size_t n = sites_.size();
  if (n == 0) return nullptr;
  const bool least = balance_ == Balance::kLeastRequest && n > 1;
  const size_t start = least ? Draw() : next_;
  // The first of the best rank, from `start` on.
  const auto best_from = [&](size_t from, const Site* but) {
    size_t best = n;
    int rank = kUnfit;
    for (size_t i = 0; i < n; ++i) {
      const size_t at = from + i < n ? from + i : from + i - n;
      if (sites_[at].get() == but) continue;
      const int its = Rank(*sites_[at], tried);
      if (its <= rank) continue;
      best = at;
      rank = its;
      if (rank == kBest) break;
    }
    return std::pair(best, rank);
  };
  const auto [first, rank] = best_from(start, nullptr);
  if (rank == kUnfit) return nullptr;
  if (!least) {
    next_ = first + 1 < n ? first + 1 : 0;
    return &sites_[first];
  }
  const auto [second, other] = best_from(Draw(), sites_[first].get());
  if (other < rank || sites_[first]->counts->active.value() <= sites_[second]->counts->active.value()) {
    return &sites_[first];
  }
  return &sites_[second];
}

bool Balancer::AnyBut(absl::Span<const Site* const> tried) const {
  return std::any_of(sites_.begin(), sites_.end(),
                     [&](const SiteRef& site) { return site->healthy() && !Contains(tried, *site); });
}

void Balancer::Failed(Site& site, const std::string& why, bool no_connection) {
  site.counts->failures.Add();
  stats_->failures.Add();
  const loop::Instant now = loop_->now();
  if (no_connection) site.resting_until = now + kRefusedRest;
  ++site.failures;
  if (ejection_.consecutive_failures == 0 || site.failures < ejection_.consecutive_failures) return;
  if (site.gone || site.ejected() || !site.in_service() || !MayEject()) return;
  // A long time without trouble is forgiven.
  if (site.returned_at.nanos != 0 && now - site.returned_at > site.rest) site.ejections = 0;
  site.ejections = std::min(site.ejections + 1, kMaxRests);
  site.rest = ejection_.rest * static_cast<double>(site.ejections);
  site.ejected_until = now + site.rest;
  stats_->ejections.Add();
  site.endpoint->Eject(why);
  Arm();
}

void Balancer::Recovered(Site& site) {
  site.failures = 0;
  site.resting_until = {};
}

bool Balancer::MayEject() const {
  size_t ejected = 0, serving = 0;
  for (const SiteRef& site : sites_) {
    ejected += site->ejected() ? 1 : 0;
    serving += site->in_service() ? 1 : 0;
  }
  const size_t most = std::max<size_t>(1, sites_.size() * ejection_.max_percent / 100);
  return ejected < most && serving > 1;
}

void Balancer::Return(Site& site) {
  site.ejected_until = {};
  site.returned_at = loop_->now();
  // The first failure sends it away again.
  if (ejection_.consecutive_failures > 0) site.failures = ejection_.consecutive_failures - 1;
  site.endpoint->Return();
}

void Balancer::Arm() {
  loop::Instant first;
  for (const SiteRef& site : sites_) {
    if (site->ejected() && (first.nanos == 0 || site->ejected_until < first)) first = site->ejected_until;
  }
  if (first.nanos == 0) {
    return_.Clear();
  } else {
    return_.Set(first);
  }
}

void Balancer::OnDeadline(loop::Deadline*) {
  // The wheel is told the time by tests; what is due by it is due.
  loop::Instant due;
  for (const SiteRef& site : sites_) {
    if (site->ejected() && (due.nanos == 0 || site->ejected_until < due)) due = site->ejected_until;
  }
  due = std::max(due, loop_->now());
  for (const SiteRef& site : sites_) {
    if (site->ejected() && site->ejected_until <= due) Return(*site);
  }
  Arm();
}

}  // namespace gatehouse::upstream
