// Alarms runs functions at given times on one thread of its own: deadlines of waits and of orders to gateways, and
// completions that must not run inside the call that started them.
//
// Ownership:  the destructor stops it.
// Threading:  thread-safe; functions run one after another, and must be quick.
// Units:      monotonic time, given as a delay.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <thread>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"

namespace gatehouse::publish {

class Alarms {
 public:
  Alarms();
  ~Alarms();
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;

  // After runs `work` once `delay` has passed; at once (but never inside this call) when it is not positive.
  void After(absl::Duration delay, absl::AnyInvocable<void()> work);
  // Stop drops what has not run, waits for what runs, and what is given later is dropped, too. Idempotent; not for use by `work`.
  void Stop();

 private:
  using Instant = std::chrono::steady_clock::time_point;
  void Run();

  Mutex mutex_;
  CondVar changed_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<Instant, uint64_t>, absl::AnyInvocable<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace gatehouse::publish
