#include "control/api/history_queue.h"

#include <chrono>
#include <optional>
#include <utility>

namespace gatehouse::api {

HistoryQueue::HistoryQueue(store::Store& store, size_t most_waiting, absl::Duration pause)
    : store_(store), most_waiting_(most_waiting), pause_(pause), thread_([this] { Run(); }) {}

HistoryQueue::~HistoryQueue() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

void HistoryQueue::Put(store::Entry entry) {
  MutexLock lock(&mutex_);
  if (waiting_.size() >= most_waiting_) {
    left_out_ += entry.left_out + 1;
    return;
  }
  entry.left_out += std::exchange(left_out_, 0);
  waiting_.push_back(std::move(entry));
  changed_.SignalAll();
}

void HistoryQueue::Flush() {
  MutexLock lock(&mutex_);
  ++flushing_;
  changed_.SignalAll();
  while (writing_ || !waiting_.empty()) changed_.Wait(&mutex_);
  --flushing_;
}

void HistoryQueue::Run() {
  using Steady = std::chrono::steady_clock;
  for (std::optional<Steady::time_point> written;;) {
    std::vector<store::Entry> entries;
    {
      MutexLock lock(&mutex_);
      writing_ = false;
      changed_.SignalAll();
      while (waiting_.empty() && !stopping_) changed_.Wait(&mutex_);
      while (written.has_value() && !stopping_ && flushing_ == 0) {
        const absl::Duration left = pause_ - absl::FromChrono(Steady::now() - *written);
        if (left <= absl::ZeroDuration()) break;
        changed_.WaitFor(&mutex_, left);
      }
      if (waiting_.empty()) return;
      entries = std::exchange(waiting_, {});
      writing_ = true;
    }
    const bool ok = store_.Append(entries).ok();
    written = Steady::now();
    if (ok) continue;
    MutexLock lock(&mutex_);
    for (const store::Entry& entry : entries) left_out_ += entry.left_out + 1;
  }
}

}  // namespace gatehouse::api
