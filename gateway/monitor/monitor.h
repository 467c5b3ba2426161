// Monitor answers machines that watch a program: GET /metrics (Prometheus' text format), /healthz (the process answers)
// and /readyz (it may be sent requests; else 503 and why). Everything else is 404, other methods 405.
//
// It speaks plain HTTP/1.1 and asks nobody who they are: an address of a loopback or management network is its place. It
// runs on a thread and a loop of its own, so that no scrape is felt by a request. Few connections, small heads, no bodies;
// whoever is slow to ask or to read is cut.
//
// Ownership:  what the callbacks use outlives the monitor. The destructor waits for a callback that runs.
// Threading:  Start and the destructor from any one thread; the callbacks run on the monitor's own.
// Errors:     Start: INVALID_ARGUMENT or UNAVAILABLE naming the address and the cause.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace gatehouse::monitor {

struct MonitorOptions {
  std::string address;                     // host:port, numeric; port 0: the kernel chooses
  std::function<std::string()> metrics;    // the exposition text
  std::function<std::string()> not_ready;  // why requests are better sent elsewhere; "" when ready
  // What a client gets to send its request's head, and to take the answer. Resolution 100 ms.
  absl::Duration patience = absl::Seconds(5);
  size_t max_connections = 32;  // further ones are closed unheard
};

class Monitor {
 public:
  static absl::StatusOr<std::unique_ptr<Monitor>> Start(MonitorOptions options);
  virtual ~Monitor() = default;

  // Where it really listens.
  virtual std::string address() const = 0;
};

}  // namespace gatehouse::monitor
