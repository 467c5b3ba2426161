// Endpoint is one address of an upstream as all of a gateway's threads share it: what the health check says of it, what
// each worker counted, and whether it is in service.
//
// Ownership:  shared: by the directory while it is configured, by connections while they are open.
// Threading:  healthy() and worker(i) are for the request path: an atomic load, and counters that only worker i writes.
//             The rest is for any thread and takes a lock; only changes of state do.
// Errors:     none.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/counter.h"
#include "gateway/base/mutex.h"
#include "gateway/loop/address.h"

namespace gatehouse::upstream {

// What one worker counts for one endpoint. Of its own cache line, since another worker's is beside it.
struct alignas(64) EndpointCounts {
  Counter requests;
  Counter failures;     // no connection, broken off, timed out, 502 to 504
  Counter active;       // gauge: requests that run
  Counter connections;  // gauge: open
};

enum class EndpointState : uint8_t { kHealthy, kUnhealthy, kEjected, kDraining };

// A change that people want to know of.
struct EndpointChange {
  std::string upstream;
  std::string endpoint;  // `ip:port`; of a name without addresses the name
  bool in_service = false;
  std::string detail;
};

class Endpoint {
 public:
  // Called on the thread that made the change, never on the request path. Must be quick.
  using OnChange = std::function<void(const EndpointChange&)>;
  struct Options {
    std::string upstream;    // name of the Upstream
    std::string configured;  // `name:port` or `ip:port`, as in the configuration
    loop::Address address;
    size_t workers = 1;
    const Clock* clock = nullptr;  // outlives the endpoint; null: the system's
    OnChange on_change = {};
  };

  explicit Endpoint(Options options);
  // One that nobody else knows.
  static std::shared_ptr<Endpoint> Of(const loop::Address& address);

  const loop::Address& address() const { return options_.address; }
  // "127.0.0.1:8080"
  const std::string& text() const { return text_; }
  const std::string& configured() const { return options_.configured; }
  // The host of configured(), without port and brackets.
  std::string host() const;

  bool healthy() const { return healthy_.load(std::memory_order_relaxed); }
  EndpointCounts& worker(size_t i) { return counts_[i]; }

  // From the health check. `detail`: what the last answer was.
  void SetHealthy(bool healthy, const std::string& detail);
  // From a worker: it sends nothing here for a while, or again.
  void Eject(const std::string& detail);
  void Return();
  // It was taken out of the configuration or of DNS.
  void Drain();

  struct Report {
    std::string configured, address, detail;
    EndpointState state = EndpointState::kHealthy;
    absl::Time since;
    uint64_t active = 0, requests = 0, failures = 0, connections = 0;
  };
  Report report() const;
  bool busy() const;  // requests run, or connections are open

 private:
  absl::Time Now() const;
  EndpointState StateLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes `change`, and tells of a new state.
  void Change(absl::FunctionRef<void()> change, const std::string& detail);

  const Options options_;
  const std::string text_;
  std::vector<EndpointCounts> counts_;
  std::atomic<bool> healthy_{true};
  Mutex telling_;  // held through a change and its telling: what is told last is how it is. Taken before mutex_
  mutable Mutex mutex_;
  size_t ejected_by_ ABSL_GUARDED_BY(mutex_) = 0;  // workers
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::string health_detail_ ABSL_GUARDED_BY(mutex_);
  std::string ejection_detail_ ABSL_GUARDED_BY(mutex_);
  absl::Time since_ ABSL_GUARDED_BY(mutex_);
};
using EndpointRef = std::shared_ptr<Endpoint>;

}  // namespace gatehouse::upstream
