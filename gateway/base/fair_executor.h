// FairExecutor runs slow work on a fixed number of threads, and gives everybody who asks the same share of them: each key
// has a queue of its own, and the queues take turns. All of them together are bounded. When they are full, a key that has
// less waiting than another takes the place of the newest work of the longest queue; who has the longest queue himself is
// refused. So one key alone may use all the room, and nobody can keep others out by filling it; nor by work that takes long, where
// one key may not have all the threads.
//
// Ownership:  owns its threads; the destructor stops it.
// Threading:  thread-safe. Work runs on its threads; work that lost its place is told so on the thread of the Submit that
//             took it.
// Units:      max_queued in pieces of work.
// Errors:     false from Submit; Fate::kDropped.
#pragma once

#include <climits>
#include <deque>
#include <functional>
#include <list>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"

namespace gatehouse {

class FairExecutor {
 public:
  enum class Fate : uint8_t {
    kRun,      // its turn has come
    kDropped,  // it lost its place and will not run
  };
  // Called once, or never when the executor is stopped first.
  using Work = absl::AnyInvocable<void(Fate)>;

  // `on_thread` runs first on each thread; may be empty. `most_of_one` bounds the threads that one key has at a time.
  // REQUIRES: threads > 0, max_queued > 0, most_of_one > 0.
  FairExecutor(int threads, size_t max_queued, std::function<void()> on_thread = {}, int most_of_one = INT_MAX);
  ~FairExecutor();
  FairExecutor(const FairExecutor&) = delete;
  FairExecutor& operator=(const FairExecutor&) = delete;

  // Submit queues `work` for `key`, or returns false: there is no room, or the executor was stopped.
  bool Submit(absl::string_view key, Work work);
  // Stop drops what is queued, uncalled, and waits for what runs. Idempotent; not for use by `work`.
  void Stop();

  size_t queued() const;
  // Work that was refused or lost its place.
  uint64_t turned_away() const;
  // How long what is queued now will take, going by what the latest work took; zero before any was done.
  absl::Duration ExpectedWait() const;

 private:
  struct Queue {
    std::string key;
    std::deque<Work> work;
  };
  using Queues = std::list<Queue>;

  void Run();
  // The queue whose turn it is; end: none may have a thread.
  Queues::iterator Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Work TakeFrom(Queues::iterator turn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Resize(Queue* queue, size_t before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_queued_;
  const std::function<void()> on_thread_;
  const int most_of_one_;
  mutable Mutex mutex_;
  CondVar ready_;
  Queues turns_ ABSL_GUARDED_BY(mutex_);  // none is empty; the front one is next
  absl::flat_hash_map<std::string, Queues::iterator> by_key_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<size_t, Queue*>> by_size_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, int> running_ ABSL_GUARDED_BY(mutex_);  // threads that a key has; none is 0
  size_t queued_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t turned_away_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration usual_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();  // moving average of a piece of work
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace gatehouse
