// What a configuration says about one upstream, as plain values.
//
// Units: every limit is per worker. Sizes in octets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/socket.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace gatehouse::upstream {

// One address to connect to, already resolved.
struct Endpoint {
  std::string name;  // as configured, for errors and events: "127.0.0.1:8080", "app.internal:80", "unix:/run/app"
  sockaddr_storage address{};
  socklen_t size = 0;

  friend bool operator==(const Endpoint& a, const Endpoint& b);
};

// ResolveEndpoint reads "host:port", "[v6]:port" or "unix:/path". A name is looked up and may give several endpoints.
// It may block on DNS: never call it on a loop. Errors name the text and the cause.
absl::StatusOr<std::vector<Endpoint>> ResolveEndpoint(absl::string_view text);

struct UpstreamOptions {
  std::string name;                 // resource name
  std::vector<Endpoint> endpoints;  // empty: every request fails with kNoEndpoint
  absl::Duration connect_timeout = absl::Seconds(5);    // of one endpoint
  absl::Duration response_timeout = absl::Seconds(60);  // request sent in full to response head
  absl::Duration stall_timeout = absl::Minutes(5);      // no octet in either direction while one is due
  absl::Duration idle_timeout = absl::Seconds(60);      // a kept connection without a request
  absl::Duration queue_timeout = absl::Seconds(10);     // a request waiting for a connection
  size_t max_connections = 256;  // raising it costs a descriptor and about 1 KiB each
  size_t max_pending = 1024;     // requests waiting for a connection; more are refused at once
  size_t send_buffer = 64 * 1024;  // high mark of unsent request body; half of it makes it writable again
  size_t max_response_head = 64 * 1024;
};

}  // namespace gatehouse::upstream
