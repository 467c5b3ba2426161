#include "control/api/history_queue.h"

#include <utility>

namespace gatehouse::api {

HistoryQueue::HistoryQueue(store::Store& store, size_t most_waiting)
    : store_(store), most_waiting_(most_waiting), thread_([this] { Run(); }) {}

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
  while (writing_ || !waiting_.empty()) changed_.Wait(&mutex_);
}

void HistoryQueue::Run() {
  for (;;) {
    std::vector<store::Entry> entries;
    {
      MutexLock lock(&mutex_);
      writing_ = false;
      changed_.SignalAll();
      while (waiting_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (waiting_.empty()) return;
      entries = std::exchange(waiting_, {});
      writing_ = true;
    }
    if (store_.Append(entries).ok()) continue;
    MutexLock lock(&mutex_);
    for (const store::Entry& entry : entries) left_out_ += entry.left_out + 1;
  }
}

}  // namespace gatehouse::api
