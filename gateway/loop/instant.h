// Instant is a point on the monotonic clock. It is a type of its own so that it is never mixed with wall-clock absl::Time.
//
// Units: nanoseconds since an arbitrary start (CLOCK_MONOTONIC).
#pragma once

#include <time.h>

#include <compare>
#include <cstdint>

#include "absl/time/time.h"

namespace gatehouse::loop {

struct Instant {
  int64_t nanos = 0;

  static Instant Now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return Instant{int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec};
  }
  friend auto operator<=>(const Instant&, const Instant&) = default;
  friend Instant operator+(Instant i, absl::Duration d) {
    return Instant{i.nanos + absl::ToInt64Nanoseconds(d)};
  }
  friend absl::Duration operator-(Instant a, Instant b) { return absl::Nanoseconds(a.nanos - b.nanos); }
};

}  // namespace gatehouse::loop
