#include "control/publish/alarms.h"

#include <algorithm>

namespace gatehouse::publish {

Alarms::Alarms() {
  thread_ = std::thread([this] { Run(); });
}

Alarms::~Alarms() { Stop(); }

void Alarms::Stop() {
  std::map<std::pair<Instant, uint64_t>, absl::AnyInvocable<void()>> dropped;  // destroyed without the lock
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    dropped.swap(queue_);
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Alarms::After(absl::Duration delay, absl::AnyInvocable<void()> work) {
  // A century is for ever, and does not overflow.
  const absl::Duration bounded = std::clamp(delay, absl::ZeroDuration(), absl::Hours(24 * 36'500));
  MutexLock lock(&mutex_);
  if (stopping_) return;
  queue_.emplace(std::make_pair(std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(bounded), ++next_id_),
                 std::move(work));
  changed_.SignalOne();
}

void Alarms::Run() {
  for (;;) {
    absl::AnyInvocable<void()> work;
    {
      MutexLock lock(&mutex_);
      for (;;) {
        if (stopping_) return;
        if (queue_.empty()) {
          changed_.Wait(&mutex_);
          continue;
        }
        const auto left = queue_.begin()->first.first - std::chrono::steady_clock::now();
        if (left <= std::chrono::nanoseconds::zero()) break;
        changed_.WaitFor(&mutex_, absl::FromChrono(left));
      }
      work = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
    }
    work();
  }
}

}  // namespace gatehouse::publish
