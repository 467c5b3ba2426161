// Histogram counts durations in fixed buckets, from 50 µs to 60 s, by one thread; any thread reads.
//
// Threading: Observe: the owning worker. Add: reads from any thread.
#pragma once

#include <array>
#include <cstddef>

#include "absl/time/time.h"
#include "gateway/base/counter.h"

namespace gatehouse::metrics {

class Histogram {
 public:
  // Upper bounds in microseconds, ascending; the last bucket (+Inf) has none.
  static constexpr std::array<int64_t, 18> kBoundsMicros = {
      50,      100,     250,       500,       1'000,     2'500,     5'000,      10'000,     25'000,
      50'000,  100'000, 250'000,   500'000,   1'000'000, 2'500'000, 10'000'000, 30'000'000, 60'000'000};
  static constexpr size_t kBuckets = kBoundsMicros.size() + 1;

  // A plain sum of several workers' histograms.
  struct Sum {
    std::array<int64_t, kBuckets> counts{};
    int64_t micros = 0;
  };

  void Observe(absl::Duration d);
  void AddTo(Sum* sum) const;

 private:
  std::array<Counter, kBuckets> counts_;
  Counter micros_;
};

}  // namespace gatehouse::metrics
