// Deadline is a moment that is waited for: of the steady clock, so that a wall clock that is set neither prolongs the wait nor cuts it
// short.
//
//   const Deadline until(patience);
//   while (!told_ && !until.passed()) changed_.WaitFor(&mutex_, until.left());
//
// Units: monotonic time, given as a delay; a century is for ever.
#pragma once

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"

namespace gatehouse {

class Deadline {
 public:
  // `delay` from now; InfiniteDuration: never.
  explicit Deadline(absl::Duration delay)
      : at_(std::chrono::steady_clock::now() +
            absl::ToChronoNanoseconds(std::clamp(delay, absl::ZeroDuration(), absl::Hours(24 * 36'500)))) {}

  bool passed() const { return std::chrono::steady_clock::now() >= at_; }
  // Not negative.
  absl::Duration left() const {
    return std::max(absl::FromChrono(at_ - std::chrono::steady_clock::now()), absl::ZeroDuration());
  }
  bool operator<(const Deadline& other) const { return at_ < other.at_; }

 private:
  std::chrono::steady_clock::time_point at_;
};

}  // namespace gatehouse
