#include "gateway/metrics/histogram.h"

#include <algorithm>

namespace gatehouse::metrics {

void Histogram::Observe(absl::Duration d) {
  int64_t micros = absl::ToInt64Microseconds(d);
  // Rounded down, but a bucket's bound is inclusive: 50.9 µs is not "at most 50".
  bool rounded = absl::Microseconds(micros) < d;
  auto bucket = std::lower_bound(kBoundsMicros.begin(), kBoundsMicros.end(), rounded ? micros + 1 : micros);
  counts_[static_cast<size_t>(bucket - kBoundsMicros.begin())].Add();
  micros_.Add(micros);
}

void Histogram::AddTo(Sum* sum) const {
  for (size_t i = 0; i < kBuckets; ++i) sum->counts[i] += counts_[i].value();
  sum->micros += micros_.value();
}

}  // namespace gatehouse::metrics
