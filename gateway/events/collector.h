// Collector is the other end of the event lane: one thread that visits the rings of all workers, puts the events in
// order of time within a batch, numbers them and shows the batch to the sink. Events are not moved: they stay in their
// slots until the sink has returned.
//
// Ownership:  recorders and the sink's targets outlive the collector. Stop (or the destructor) delivers what is left.
// Threading:  thread-safe. The sink is called by one thread at a time, never under a lock that Add takes.
// Units:      batches of at most `max_batch` events a recorder.
// Errors:     none. A sink that is slow fills the rings; workers then count losses, they never wait.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/events/event.h"
#include "gateway/events/recorder.h"

namespace gatehouse::events {

struct CollectorOptions {
  absl::Duration period = absl::Milliseconds(10);  // between drains; the latency an idle stream adds
  // The same while much comes, an eighth of `max_batch` and more at a time: at 400,000 a second a ring of 4,096 is full within the period.
  absl::Duration busy_period = absl::Milliseconds(1);
  size_t max_batch = 1024;                         // of one recorder in one batch
  size_t max_added = 4096;                         // events waiting from Add; more are lost and counted
};

class Collector {
 public:
  using Sink = absl::AnyInvocable<void(Batch)>;

  // REQUIRES: recorders not null; clock and recorders outlive this.
  Collector(std::vector<Recorder*> recorders, const Clock& clock, Sink sink, CollectorOptions options = {});
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  // Start begins draining on a thread of its own. Without it, call DrainOnce.
  void Start();
  // Stop ends the thread after a last drain of everything. Idempotent.
  void Stop();
  // DrainOnce delivers one batch, if there is anything, and returns its size.
  size_t DrainOnce();
  // How long events may gather when so many were there after the last pause.
  absl::Duration PauseAfter(size_t gathered) const;
  // Add records an event from a thread that is no worker (configuration, start, drain). The time is set if absent.
  void Add(Event event);

  // Events lost, in all rings and in Add.
  int64_t dropped() const;

 private:
  void Run();

  const std::vector<Recorder*> recorders_;
  const Clock& clock_;
  const CollectorOptions options_;

  // Held while draining and calling the sink.
  Mutex drain_mutex_;
  Sink sink_ ABSL_GUARDED_BY(drain_mutex_);
  uint64_t next_sequence_ ABSL_GUARDED_BY(drain_mutex_) = 1;
  std::vector<Event*> batch_ ABSL_GUARDED_BY(drain_mutex_);
  std::vector<size_t> peeked_ ABSL_GUARDED_BY(drain_mutex_);  // of each recorder

  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<Event> added_ ABSL_GUARDED_BY(mutex_);
  uint64_t lost_since_last_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t added_dropped_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace gatehouse::events
