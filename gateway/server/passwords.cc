#include "gateway/server/passwords.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "gateway/base/status.h"
#include "gateway/base/steady.h"

namespace gatehouse::server {
namespace {

// Of the hashing threads, above the loops': a third of their weight. Both calls concern the calling thread alone on Linux;
// where they are refused, all is as before.
constexpr int kNice = 5;

void YieldToLoops() {
  const auto self = static_cast<id_t>(gettid());
  setpriority(PRIO_PROCESS, self, std::min(getpriority(PRIO_PROCESS, self) + kNice, 19));
  const sched_param none{};
  sched_setscheduler(0, SCHED_BATCH, &none);
}

}  // namespace

bool Passwords::MeteredVerifier::Verify(absl::string_view mcf, absl::string_view password) const {
  const SteadyTime begun = SteadyNow();
  const bool fits = library_.Verify(mcf, password);
  hashes_.fetch_add(1, std::memory_order_relaxed);
  nanos_.fetch_add(static_cast<uint64_t>(absl::ToInt64Nanoseconds(Since(begun))), std::memory_order_relaxed);
  return fits;
}

Passwords::Passwords(const Options& options, std::unique_ptr<LockoutDesk> lockouts)
    : clock_(*options.lockouts.clock),
      lockouts_(std::move(lockouts)),
      verified_(options.verified),
      renewals_(options.renewal ? std::make_unique<credentials::RenewalOffers>(options.renewal, clock_) : nullptr),
      executor_(std::make_unique<FairExecutor>(options.threads, options.queue, YieldToLoops)) {}

absl::StatusOr<std::unique_ptr<Passwords>> Passwords::Open(const Options& options) {
  GH_ASSIGN_OR_RETURN(std::unique_ptr<LockoutDesk> lockouts, LockoutDesk::Open(options.lockouts));
  return std::unique_ptr<Passwords>(new Passwords(options, std::move(lockouts)));
}

void Passwords::Start(LockoutDesk::OnEvent on_event) { lockouts_->Start(std::move(on_event)); }

void Passwords::Stop() {
  executor_.reset();
  lockouts_->Stop();
}

credentials::CheckerOptions Passwords::ForWorker() {
  credentials::CheckerOptions options;
  options.executor = executor_.get();
  options.cache = &verified_;
  options.throttle = &lockouts_->throttle();
  options.flights = &flights_;
  options.verifier = &verifier_;
  options.clock = &clock_;
  options.renewals = renewals_.get();
  return options;
}

void Passwords::AddMetrics(metrics::Registry* registry) const {
  using credentials::ThrottleKind;
  using metrics::SourceType;
  const auto add = [registry](SourceType type, const char* family, const char* help, metrics::Registry::Labels labels,
                              absl::AnyInvocable<double() const> read) {
    registry->AddSource(type, family, help, std::move(labels), std::move(read));
  };
  add(SourceType::kCounter, "gatehouse_password_hashes_total", "Password hashes that were computed.", {},
      [this] { return static_cast<double>(verifier_.hashes()); });
  add(SourceType::kCounter, "gatehouse_password_hash_seconds_total", "Time that these took together.", {},
      [this] { return verifier_.seconds(); });
  add(SourceType::kGauge, "gatehouse_password_queue", "Passwords that wait for their hash.", {},
      [this] { return executor_ == nullptr ? 0.0 : static_cast<double>(executor_->queued()); });
  add(SourceType::kCounter, "gatehouse_password_queue_refused_total",
      "Passwords that found no place in the queue, or lost it to an address with fewer waiting.", {},
      [this] { return executor_ == nullptr ? 0.0 : static_cast<double>(executor_->turned_away()); });
  add(SourceType::kGauge, "gatehouse_verified_credentials", "Credentials that are remembered as verified.", {},
      [this] { return static_cast<double>(verified_.size()); });
  const credentials::Throttle* throttle = &lockouts_->throttle();
  for (const auto& [kind, word] : {std::pair{ThrottleKind::kPair, "user_and_address"},
                                   std::pair{ThrottleKind::kAddress, "address"}}) {
    add(SourceType::kCounter, "gatehouse_lockouts_total", "Lock-outs that began.", {{"kind", word}},
        [throttle, kind = kind] { return static_cast<double>(throttle->lockouts(kind)); });
  }
  add(SourceType::kGauge, "gatehouse_lockout_entries", "Users, addresses and pairs of both that are remembered.", {},
      [throttle] { return static_cast<double>(throttle->size()); });
  add(SourceType::kCounter, "gatehouse_password_sprays_total", "Password sprays that began.", {},
      [throttle] { return static_cast<double>(throttle->sprays()); });
  add(SourceType::kGauge, "gatehouse_password_sprays_active", "Schemes against which a password spray runs.", {},
      [throttle] { return static_cast<double>(throttle->spraying()); });
  add(SourceType::kGauge, "gatehouse_lockout_unsaved_changes", "Failures that are counted and not on disk yet.", {},
      [this] { return static_cast<double>(lockouts_->unsaved()); });
  add(SourceType::kCounter, "gatehouse_lockout_save_failures_total", "Writes of the lock-outs' file that failed.", {},
      [this] { return static_cast<double>(lockouts_->save_failures()); });
}

}  // namespace gatehouse::server
