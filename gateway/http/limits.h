// Limits of one connection. Codecs enforce the sizes and floods; the server arms the timeouts by ServerCodec::phase.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace gatehouse::http {

struct Limits {
  // Sizes, enforced by the codecs.
  size_t header_bytes = 32 * 1024;   // names + values + 32 each (RFC 9113 6.5.2); 431
  size_t header_count = 100;         // 431
  size_t target_bytes = 8 * 1024;    // 414
  uint64_t body_bytes = uint64_t{1} << 40;  // a request's body; 413
  size_t body_window = 64 * 1024;    // request body bytes delivered and not yet consumed, per stream
  size_t send_buffer = 64 * 1024;    // response body bytes accepted and not yet produced, per stream
  size_t pipeline_bytes = 64 * 1024; // HTTP/1: bytes kept of requests behind the one in process
  uint32_t streams = 100;            // HTTP/2: concurrent

  // Floods on one HTTP/2 connection: token buckets. Over it: GOAWAY ENHANCE_YOUR_CALM.
  double reset_burst = 100;          // streams reset by the client, or because it broke a rule; a completed
  double reset_per_second = 10;      // response gives one back
  double control_burst = 200;        // PING, SETTINGS, PRIORITY, empty DATA
  double control_per_second = 20;
  double window_update_burst = 20000;
  double window_update_per_second = 20000;

  // Timeouts, armed by the server.
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration header_timeout = absl::Seconds(10);  // phase kHead: from its first byte
  absl::Duration idle_timeout = absl::Seconds(120);   // phases kIdle and kStalled
  absl::Duration body_timeout = absl::Seconds(30);    // phase kBody: since the last byte
  absl::Duration write_timeout = absl::Seconds(30);   // output waits and the socket takes none
  absl::Duration request_timeout = absl::ZeroDuration();  // the whole request; zero = none
};

}  // namespace gatehouse::http
