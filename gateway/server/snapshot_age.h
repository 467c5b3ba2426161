// SnapshotAge knows how long ago the configuration in force was known to be the newest, and whether that is too long.
//
//   fresh --age over the limit, Check--> too old --Confirm--> fresh
//
// Ownership:  the clock outlives it.
// Threading:  thread-safe; too_old() is one relaxed load, for the request path.
// Units:      wall-clock times; a clock that is set back makes nothing younger than zero.
// Errors:     none.
#pragma once

#include <algorithm>
#include <atomic>
#include <optional>

#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"

namespace gatehouse::server {

class SnapshotAge {
 public:
  // `limit`: InfiniteDuration for none.
  SnapshotAge(const Clock& clock, absl::Duration limit) : clock_(clock), limit_(limit), confirmed_(clock.Now()) {}

  // At `when` the configuration in force was the newest there is.
  void Confirm(absl::Time when) {
    MutexLock lock(&mutex_);
    confirmed_ = when;
  }
  absl::Duration age() const {
    MutexLock lock(&mutex_);
    return std::max(absl::ZeroDuration(), clock_.Now() - confirmed_);
  }
  // Check looks at the clock; the new state when it differs from the one before.
  std::optional<bool> Check() {
    const bool now = age() > limit_;
    if (too_old_.exchange(now, std::memory_order_relaxed) == now) return std::nullopt;
    return now;
  }
  bool too_old() const { return too_old_.load(std::memory_order_relaxed); }
  absl::Duration limit() const { return limit_; }

 private:
  const Clock& clock_;
  const absl::Duration limit_;
  mutable Mutex mutex_;
  absl::Time confirmed_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> too_old_{false};
};

}  // namespace gatehouse::server
