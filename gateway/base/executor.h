// Executor runs slow work (password hashes, cold chains, DNS, fetches) on a fixed number of threads behind a bounded
// queue. It refuses rather than grows.
//
// Ownership:  owns its threads; the destructor drops what is queued and joins.
// Threading:  thread-safe.
#pragma once

#include <deque>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "gateway/base/mutex.h"

namespace gatehouse {

class Executor {
 public:
  // REQUIRES: threads > 0, max_queued > 0.
  Executor(int threads, size_t max_queued);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Submit queues `work`, or returns false when the queue is full or the executor is shutting down.
  bool Submit(absl::AnyInvocable<void()> work);
  size_t queued() const;

 private:
  void Run();

  const size_t max_queued_;
  mutable Mutex mutex_;
  CondVar ready_;
  std::deque<absl::AnyInvocable<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace gatehouse
