// Passwords is what the workers of a gateway share to verify passwords: the cache of verified credentials, the threads that
// hash, who is under way, and the memory of who guesses.
//
// Nothing but password hashes runs on these threads, so that guessers hold up no certificate, and they run at a lower
// priority than the loops, so that a storm of logins is felt by nobody who is verified already.
//
// Ownership:  the clock outlives it; it outlives the workers.
// Threading:  thread-safe; Open, Start, Stop and the destructor by one thread.
// Errors:     Open: those of LockoutDesk.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "gateway/base/fair_executor.h"
#include "gateway/credentials/checker.h"
#include "gateway/metrics/registry.h"
#include "gateway/server/lockout_desk.h"

namespace gatehouse::server {

class Passwords {
 public:
  struct Options {
    int threads = 1;
    size_t queue = 4096;            // passwords that wait for their hash
    size_t verified = 100'000;      // credentials remembered
    LockoutDesk::Options lockouts;  // its clock is everybody's
    credentials::RenewalOffers::Sink renewal;  // null: nobody takes passwords of weak hashes
  };

  static absl::StatusOr<std::unique_ptr<Passwords>> Open(const Options& options);

  // Begins: `on_event` gets what happens. Before the first worker runs.
  void Start(LockoutDesk::OnEvent on_event);
  // Drops what waits, ends the threads and saves. After the last worker was stopped.
  void Stop();

  // What a worker's checker needs, but for `post`.
  credentials::CheckerOptions ForWorker();
  LockoutDesk& lockouts() { return *lockouts_; }
  const LockoutDesk& lockouts() const { return *lockouts_; }

  // This outlives the registry's last scrape.
  void AddMetrics(metrics::Registry* registry) const;

 private:
  // Counts what hashing costs.
  class MeteredVerifier final : public credentials::PasswordVerifier {
   public:
    bool Verify(absl::string_view mcf, absl::string_view password) const override;
    uint64_t hashes() const { return hashes_.load(std::memory_order_relaxed); }
    double seconds() const { return static_cast<double>(nanos_.load(std::memory_order_relaxed)) * 1e-9; }

   private:
    credentials::LibraryPasswordVerifier library_;
    mutable std::atomic<uint64_t> hashes_{0}, nanos_{0};
  };

  Passwords(const Options& options, std::unique_ptr<LockoutDesk> lockouts);

  const Clock& clock_;
  const std::unique_ptr<LockoutDesk> lockouts_;
  credentials::VerifiedCache verified_;
  credentials::Flights flights_;
  std::unique_ptr<credentials::RenewalOffers> renewals_;  // may be null
  MeteredVerifier verifier_;
  std::unique_ptr<FairExecutor> executor_;
};

}  // namespace gatehouse::server
