// Recorder is a worker's end of the event lane: a bounded number of slots, and it never blocks. When all of them wait for the
// collector the event is lost, counted, and the next event that fits carries the count.
//
//   if (Event* e = recorder.Begin(EventKind::kDecision)) {   // the slot, reset and stamped
//     e->status = 200; …
//     recorder.Commit();
//   }
//
// Threading:  Begin, Commit: the owning worker. Peek, Release: one collector. dropped(), recorded(): any thread.
// Units:      capacity in events, a power of two.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "gateway/base/clock.h"
#include "gateway/base/counter.h"
#include "gateway/base/ring.h"
#include "gateway/events/event.h"

namespace gatehouse::events {

class Recorder {
 public:
  // REQUIRES: capacity is a power of two; clock outlives this.
  Recorder(uint16_t worker, size_t capacity, const Clock& clock);
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Begin returns a slot to fill, or nullptr when all are waiting (the loss is counted). Begin again without Commit reuses
  // the slot.
  Event* Begin(EventKind kind);
  // Reserve keeps a slot free for an event that must not be lost: false when there is none, or half of the slots are reserved,
  // so that other events are not starved; nothing is counted. Each is used by one BeginReserved, or given back.
  bool Reserve();
  void Unreserve() { --reserved_; }
  // REQUIRES: a slot is reserved.
  Event* BeginReserved(EventKind kind);
  // Commit makes the slot of the last Begin visible. REQUIRES: that Begin returned a slot.
  void Commit();

  // Peek appends the oldest events, up to `max`, to `out` and returns how many. They are the collector's until
  // Release.
  size_t Peek(size_t max, std::vector<Event*>* out);
  // Release lets go of what the `n` oldest events refer to and gives their slots back. REQUIRES: they were peeked at.
  void Release(size_t n);

  int64_t recorded() const { return recorded_.value(); }
  int64_t dropped() const { return dropped_.value(); }

 private:
  // How many slots can be taken, with those that came back meanwhile.
  size_t Unused();
  Event* Open(EventKind kind);

  const uint16_t worker_;
  const size_t capacity_;
  const size_t most_reserved_;
  const Clock& clock_;
  // Slots go round: taken by the worker, filled, shown to the collector, returned. The one that came back last is taken
  // first, so that no more memory is touched than the collector leaves waiting.
  SpscRing<Event*> filled_;
  SpscRing<Event*> returned_;
  std::vector<Event*> unused_;                   // worker's
  std::vector<std::unique_ptr<Event[]>> slots_;  // worker's: all that were made yet, kChunk at a time
  size_t made_ = 0;                              // worker's
  uint64_t lost_since_last_ = 0;                 // worker's
  size_t reserved_ = 0;                          // worker's: unused slots that Begin must leave
  Event* open_ = nullptr;                        // worker's: begun and not committed
  Counter recorded_;
  Counter dropped_;
};

}  // namespace gatehouse::events
