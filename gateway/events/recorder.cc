#include "gateway/events/recorder.h"

#include <algorithm>
#include <cassert>

namespace gatehouse::events {

Recorder::Recorder(uint16_t worker, size_t capacity, const Clock& clock)
    : worker_(worker), most_reserved_(capacity / 2), clock_(clock), ring_(capacity) {}

Event* Recorder::Begin(EventKind kind) {
  Event* slot = ring_.Slot(reserved_);
  if (slot == nullptr) {
    open_ = false;
    ++lost_since_last_;
    dropped_.Add();
    return nullptr;
  }
  return Open(slot, kind);
}

bool Recorder::Reserve() {
  if (reserved_ >= most_reserved_ || ring_.Slot(reserved_) == nullptr) return false;
  ++reserved_;
  return true;
}

Event* Recorder::BeginReserved(EventKind kind) {
  assert(reserved_ > 0);
  --reserved_;
  Event* event = Open(ring_.Slot(), kind);
  event->must_keep = true;
  return event;
}

Event* Recorder::Open(Event* slot, EventKind kind) {
  slot->Reset(kind);
  slot->time = clock_.Now();
  slot->worker = worker_;
  slot->dropped_before = lost_since_last_;
  open_ = true;
  return slot;
}

void Recorder::Commit() {
  assert(open_);
  if (!open_) return;
  open_ = false;
  lost_since_last_ = 0;
  ring_.Publish();
  ring_.PrefetchNext();
  recorded_.Add();
}

size_t Recorder::Peek(size_t max, std::vector<Event*>* out) {
  size_t n = std::min(max, ring_.Filled());
  for (size_t i = 0; i < n; ++i) out->push_back(&ring_.Front(i));
  return n;
}

void Recorder::Release(size_t n) {
  // On this thread, so that the worker never frees what it shared long ago.
  for (size_t i = 0; i < n; ++i) ring_.Front(i).LetGo();
  ring_.Release(n);
}

}  // namespace gatehouse::events
