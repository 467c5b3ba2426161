#include "gateway/metrics/worker_metrics.h"

#include "gateway/metrics/labels.h"

namespace gatehouse::metrics {

WorkerMetrics::WorkerMetrics(uint16_t routes, uint16_t schemes)
    : route_capacity_(routes),
      scheme_capacity_(schemes),
      routes_(new RouteCounts[routes]),
      schemes_(new SchemeCounts[schemes]) {}

void WorkerMetrics::CountRequest(uint16_t route, Reason reason, int status, absl::Duration duration) {
  RouteCounts& counts = routes_[route < route_capacity_ ? route : LabelTable::kOther];
  (reason == Reason::kNone ? counts.allowed : counts.refused).Add();
  requests_by_reason[static_cast<size_t>(reason)].Add();
  int status_class = status / 100;
  responses_by_class[status_class >= 1 && status_class <= 5 ? static_cast<size_t>(status_class) : 0].Add();
  request_duration.Observe(duration);
}

void WorkerMetrics::CountScheme(uint16_t scheme, SchemeResult result) {
  SchemeCounts& counts = schemes_[scheme < scheme_capacity_ ? scheme : LabelTable::kOther];
  counts.results[static_cast<size_t>(result)].Add();
}

}  // namespace gatehouse::metrics
