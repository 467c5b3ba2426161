// Gateway is the data plane of one process: worker threads that accept, authenticate and pass on requests under the
// snapshot that was installed last.
//
// Ownership:  owns its workers, listening sockets, executor and event rings. Snapshots are shared.
// Threading:  Start, Drain, Stop and the destructor from one thread; Install and the getters from any thread.
// Errors:     Install reports what a snapshot needs and this machine refuses (an address in use …); the snapshot before
//             stays in force then.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/config/build.h"
#include "gateway/config/snapshot.h"
#include "gateway/credentials/hash_renewal.h"
#include "gateway/events/event.h"
#include "gateway/fetch/fetcher.h"
#include "gateway/server/lockout_desk.h"
#include "gateway/server/presented_chains.h"
#include "gateway/server/revocation_desk.h"
#include "gateway/server/trust_uses.h"
#include "gateway/tls/ticket_keys.h"
#include "gateway/upstream/directory.h"
#include "gateway/delegate/desk.h"

namespace gatehouse::server {

struct GatewayOptions {
  // Named in events and status.
  std::string name = "gateway";
  // Of the program, for the metrics.
  std::string version;
  // Worker threads; 0: one a core.
  int workers = 0;
  // Threads that hash passwords; 0: one a core, at most 4.
  int hash_threads = 0;
  // Where it is kept over restarts who guessed passwords, a file in a directory of ours, and the key file that seals it;
  // empty: in memory alone.
  std::string lockout_file, lockout_key_file;
  // Where events go, in batches, from the gateway's collector thread. Must be quick; never called concurrently.
  absl::AnyInvocable<void(events::Batch)> events;
  // Events that each worker holds for the collector, a power of two: some 20 ms of the most that a worker can answer.
  size_t event_ring = 8192;
  // Whether an event recorded now would be kept by those behind `events`; from any worker, quick. Null: it would.
  std::function<bool()> events_kept;
  // Events that those behind `events` lost so far; from any thread. Null: none.
  std::function<uint64_t()> events_lost;
  // Where passwords go that were verified against a hash weaker than the user store asks for; null: nowhere.
  credentials::RenewalOffers::Sink renewal;
  // Outlives the gateway; null: the system's.
  const Clock* clock = nullptr;
  // Where fetched CRLs and OCSP answers are kept, a directory of ours; empty: in memory alone.
  std::string revocation_cache;
  // Who fetches them; null: libcurl.
  std::unique_ptr<fetch::Fetcher> fetcher;
  // How long requests are authenticated under a configuration that nobody confirmed to be the newest. Then authenticated routes
  // answer 503 and the gateway is not ready, until somebody does. InfiniteDuration: for ever.
  absl::Duration max_snapshot_age = absl::InfiniteDuration();
  // Who speaks to users' own validation services; empty: nobody, and their schemes refuse.
  delegate::ClientFactory validators;
  // Who finds the addresses of upstreams; null: the system.
  std::unique_ptr<upstream::Resolver> resolver;
};

// Memory is what a gateway remembers of what it judged, for those who ask.
struct Memory {
  PresentedChains presented;
  TrustUses uses;
};

// Counts are what runs now and what ran, of all workers.
struct Counts {
  uint64_t connections = 0;
  uint64_t active_requests = 0;
  uint64_t requests = 0;     // since the start
  uint64_t events_lost = 0;  // likewise
  uint32_t workers = 0;
  bool draining = false;
};

// A listener and the address it really has (port 0 resolved).
struct BoundListener {
  std::string listener;
  std::string address;
};

// Why Install refused, as a violation: the path in front of the message (`listeners["edge"].address: …`), else "gateway".
// REQUIRES: !status.ok().
config::Violation ViolationOf(const absl::Status& status);

class Gateway {
 public:
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(GatewayOptions options);
  virtual ~Gateway() = default;  // stops at once when Drain was not called

  // Install brings `snapshot` into force. `done` runs on some thread, exactly once: OK when every worker decides
  // under it (no request received afterwards is decided under an older one), or the reason why it was refused.
  virtual void Install(std::shared_ptr<const config::Snapshot> snapshot,
                       absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Replace is Install for a snapshot that was made to follow `expected`: ABORTED when that is not in force any more.
  virtual void Replace(std::shared_ptr<const config::Snapshot> expected, std::shared_ptr<const config::Snapshot> snapshot,
                       absl::AnyInvocable<void(absl::Status)> done) = 0;

  // SetTicketKeys replaces the keys of session tickets, for listeners that use them. From any thread.
  virtual void SetTicketKeys(const std::vector<tls::TicketKey>& keys) = 0;

  // The snapshot in force; null before the first Install.
  virtual std::shared_ptr<const config::Snapshot> current() const = 0;
  virtual std::vector<BoundListener> listeners() const = 0;

  // ConfirmNewest says that the snapshot in force was the newest there is at `when`.
  virtual void ConfirmNewest(absl::Time when) = 0;
  // How long ago that was.
  virtual absl::Duration snapshot_age() const = 0;
  virtual Counts counts() const = 0;

  // Report puts an event into the gateway's stream: what its owner noticed.
  virtual void Report(events::Event event) = 0;

  // Why requests are better sent to another gateway: nothing is in force, or what is is too old, or this one drains; "" when it is
  // ready.
  virtual std::string NotReady() const = 0;

  // Drain stops accepting, tells clients to go (two phases), waits for what runs up to `grace`, then closes the rest.
  // Blocks. Returns false when something had to be cut.
  virtual bool Drain(absl::Duration grace) = 0;

  virtual const Memory& memory() const = 0;
  // What is known about revocation.
  virtual RevocationDesk& revocation() = 0;
  // Who guesses passwords.
  virtual LockoutDesk& lockouts() = 0;
  // Who asks users' own services about credentials.
  virtual const delegate::Desk& validators() const = 0;
  // Where upstreams are, and how they do.
  virtual const upstream::Directory& upstreams() const = 0;

  // Metrics in Prometheus' text format. From any thread; felt by no worker.
  virtual std::string MetricsText() const = 0;
};

}  // namespace gatehouse::server
