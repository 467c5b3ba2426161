// WorkerMetrics is everything one worker counts: plain single-writer numbers, summed with the other workers' when
// somebody scrapes.
//
// Ownership:  owned by the Registry.
// Threading:  written by its worker only; read by any thread.
// Units:      counts; durations in Histograms.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "gateway/base/counter.h"
#include "gateway/base/reason.h"
#include "gateway/metrics/histogram.h"

namespace gatehouse::metrics {

enum class SchemeResult : uint8_t { kNoResult = 0, kSuccess = 1, kFailure = 2 };
inline constexpr size_t kSchemeResultCount = 3;

class WorkerMetrics {
 public:
  // REQUIRES: both capacities are those of the registry's label tables.
  WorkerMetrics(uint16_t routes, uint16_t schemes);

  // One finished request. `route` is interned; `reason` kNone = allowed.
  void CountRequest(uint16_t route, Reason reason, int status, absl::Duration duration);
  // One answer of a scheme; `scheme` is interned.
  void CountScheme(uint16_t scheme, SchemeResult result);
  // One failed handshake, or one refused in it.
  void CountHandshakeFailure(Reason reason) { handshake_failures[static_cast<size_t>(reason)].Add(); }

  Counter connections_accepted;
  Counter connections_open;  // gauge
  Counter connections_refused;  // over a limit of connections
  Counter accept_pauses;        // for want of descriptors or memory
  Counter redirects;            // by listeners that only do that
  Counter handshakes_full;
  Counter handshakes_resumed;
  std::array<Counter, kReasonCount> handshake_failures;
  Counter streams_open;  // gauge
  Counter websockets_total;  // requests that became one
  Counter websockets_open;   // gauge
  Counter streams_cut;       // trust withdrawn
  Counter connections_cut;   // trust withdrawn
  Counter received_bytes;    // of request bodies
  Counter sent_bytes;        // of response bodies
  Counter verdict_cache_hits;
  Counter verdict_cache_misses;
  Counter credential_cache_hits;
  Counter credential_cache_misses;
  Counter events_dropped;    // copied from the recorder
  Counter snapshot_revision;  // gauge: what this worker decides under

  std::array<Counter, kReasonCount> requests_by_reason;  // [0] = allowed
  std::array<Counter, 6> responses_by_class;             // [1] = 1xx … [5] = 5xx; [0] = none was sent
  Histogram request_duration;

  int64_t route_allowed(uint16_t route) const { return routes_[route].allowed.value(); }
  int64_t route_refused(uint16_t route) const { return routes_[route].refused.value(); }
  int64_t scheme(uint16_t scheme, SchemeResult result) const {
    return schemes_[scheme].results[static_cast<size_t>(result)].value();
  }

 private:
  struct RouteCounts {
    Counter allowed;
    Counter refused;
  };
  struct SchemeCounts {
    std::array<Counter, kSchemeResultCount> results;
  };
  const uint16_t route_capacity_;
  const uint16_t scheme_capacity_;
  const std::unique_ptr<RouteCounts[]> routes_;
  const std::unique_ptr<SchemeCounts[]> schemes_;
};

}  // namespace gatehouse::metrics
