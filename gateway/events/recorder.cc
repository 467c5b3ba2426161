#include "gateway/events/recorder.h"

#include <cassert>
#include <utility>

namespace gatehouse::events {

Recorder::Recorder(uint16_t worker, size_t capacity, const Clock& clock)
    : worker_(worker), clock_(clock), ring_(capacity) {}

Event* Recorder::Begin(EventKind kind) {
  Event* slot = ring_.Slot();
  if (slot == nullptr) {
    open_ = false;
    ++lost_since_last_;
    dropped_.Add();
    return nullptr;
  }
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
  recorded_.Add();
}

size_t Recorder::Drain(size_t max, std::vector<Event>* out) {
  size_t n = 0;
  for (; n < max; ++n) {
    out->emplace_back();
    if (ring_.Pop(&out->back())) continue;
    out->pop_back();
    break;
  }
  return n;
}

}  // namespace gatehouse::events
