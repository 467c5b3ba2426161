// HistoryQueue appends entries to the history for those who cannot wait for a disk. What waits is written together, and no more
// often than once in `pause`: how often somebody is refused does not say how often the disk is written to.
//
//   Put --queue (bounded)--> own thread --> Store::Append
//
// What finds the queue full, or the store failing, is left out: the next entry that is written has the number.
//
// Ownership:  the store outlives it; the destructor writes what waits at once.
// Threading:  thread-safe; Put is quick.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "control/store/store.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

class HistoryQueue {
 public:
  explicit HistoryQueue(store::Store& store, size_t most_waiting = 2000, absl::Duration pause = absl::Seconds(1));
  ~HistoryQueue();
  HistoryQueue(const HistoryQueue&) = delete;
  HistoryQueue& operator=(const HistoryQueue&) = delete;

  void Put(store::Entry entry);
  // Writes what waits without a pause. Returns once all that was put before is written, or left out.
  void Flush();

 private:
  void Run();

  store::Store& store_;
  const size_t most_waiting_;
  const absl::Duration pause_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<store::Entry> waiting_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  size_t flushing_ ABSL_GUARDED_BY(mutex_) = 0;  // that wait for it
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace gatehouse::api
