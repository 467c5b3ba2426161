// What a configuration says about one upstream, as plain values.
//
// Units: every limit is per worker. Sizes in octets.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/base/counter.h"
#include "gateway/tls/client_context.h"
#include "gateway/upstream/endpoint.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

enum class Balance : uint8_t {
  kRoundRobin,
  kLeastRequest,  // the better of two drawn at random
};

// When an endpoint that fails requests rests.
struct EjectionOptions {
  uint32_t consecutive_failures = 5;         // 0: never
  absl::Duration rest = absl::Seconds(30);   // the first; longer each time, up to ten times as long
  uint32_t max_percent = 50;                 // of the endpoints rest at most; one always may while another is there
};

struct RetryOptions {
  uint32_t attempts = 2;         // tries in all
  bool idempotent = false;       // also after the upstream may have seen the request
  uint32_t budget_percent = 20;  // such retries under way may be this share of the running requests, and always 3
};

// Counted by the pool, read by anybody.
struct PoolStats {
  Counter requests;
  Counter connects;  // attempted
  Counter reused;    // requests that found a kept connection
  Counter repeated;  // requests sent again since a kept connection had died
  Counter retries;   // requests sent to another endpoint after a failure
  Counter failures;  // at an endpoint: no connection, broken off, timed out, 502 to 504
  Counter ejections;
  Counter open_connections;  // gauge
  Counter idle_connections;  // gauge
  Counter pending;           // gauge
  Counter errors[kErrorKindCount];
};

struct UpstreamOptions {
  std::string name;                    // resource name
  std::vector<EndpointRef> endpoints;  // none: every request fails with kNoEndpoint
  // The names among the endpoints were not answered for yet: requests wait, as for a connection.
  bool resolving = false;
  Balance balance = Balance::kRoundRobin;
  EjectionOptions ejection;
  RetryOptions retries;
  absl::Duration connect_timeout = absl::Seconds(5);    // of one endpoint
  absl::Duration response_timeout = absl::Seconds(60);  // request sent in full to response head
  absl::Duration stall_timeout = absl::Seconds(60);     // within a body, no octet in either direction
  absl::Duration keep_timeout = absl::Seconds(60);      // a kept connection without a request
  absl::Duration queue_timeout = absl::Seconds(10);     // a request waiting for a connection
  size_t max_connections = 256;  // raising it costs a descriptor and about 1 KiB each
  size_t max_pending = 1024;     // requests waiting for a connection; more are refused at once
  size_t max_requests = 0;       // running, the waiting ones too; more are refused at once. 0: unlimited
  size_t send_buffer = 64 * 1024;  // high mark of unsent request body; half of it makes it writable again
  size_t max_response_head = 64 * 1024;
  bool http2 = false;  // with prior knowledge, or by ALPN
  std::shared_ptr<const tls::ClientContext> tls = nullptr;  // null: in clear
  // HTTP/2: after so much silence while requests run the upstream is asked (PING), and given up without an answer. gRPC's
  // servers take more than two within five minutes of silence for an attack; a machine that is gone, TCP finds sooner.
  absl::Duration ping_after = absl::Seconds(330);
  absl::Duration ping_timeout = absl::Seconds(10);
  size_t worker = 0;                 // whose counts of the endpoints are written
  std::shared_ptr<PoolStats> stats;  // null: the pool's own
};

}  // namespace gatehouse::upstream
