// What a configuration says about one upstream, as plain values.
//
// Units: every limit is per worker. Sizes in octets.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/loop/address.h"

namespace gatehouse::upstream {

struct UpstreamOptions {
  std::string name;                      // resource name
  std::vector<loop::Address> endpoints;  // asked in turn; empty: every request fails with kNoEndpoint
  absl::Duration connect_timeout = absl::Seconds(5);    // of one endpoint
  absl::Duration response_timeout = absl::Seconds(60);  // request sent in full to response head
  absl::Duration stall_timeout = absl::Seconds(60);     // within a body, no octet in either direction
  absl::Duration keep_timeout = absl::Seconds(60);      // a kept connection without a request
  absl::Duration queue_timeout = absl::Seconds(10);     // a request waiting for a connection
  size_t max_connections = 256;  // raising it costs a descriptor and about 1 KiB each
  size_t max_pending = 1024;     // requests waiting for a connection; more are refused at once
  size_t send_buffer = 64 * 1024;  // high mark of unsent request body; half of it makes it writable again
  size_t max_response_head = 64 * 1024;
};

}  // namespace gatehouse::upstream
