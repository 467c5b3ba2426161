#include "gateway/events/recorder.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "gateway/base/prefetch.h"

namespace gatehouse::events {

namespace {

constexpr size_t kChunk = 64;      // slots that are made at a time
constexpr size_t kTouched = 192;   // octets that an event mostly fills

}  // namespace

Recorder::Recorder(uint16_t worker, size_t capacity, const Clock& clock)
    : worker_(worker), capacity_(capacity), most_reserved_(capacity / 2), clock_(clock), filled_(capacity), returned_(capacity) {}

size_t Recorder::Unused() {
  if (const size_t n = returned_.Filled(); n != 0) {
    for (size_t i = 0; i < n; ++i) unused_.push_back(returned_.Front(i));
    returned_.Release(n);
  }
  return unused_.size() + capacity_ - made_;
}

Event* Recorder::Begin(EventKind kind) {
  if (open_ == nullptr && Unused() <= reserved_) {
    ++lost_since_last_;
    dropped_.Add();
    return nullptr;
  }
  return Open(kind);
}

bool Recorder::Reserve() {
  if (reserved_ >= most_reserved_ || Unused() <= reserved_) return false;
  ++reserved_;
  return true;
}

Event* Recorder::BeginReserved(EventKind kind) {
  assert(reserved_ > 0);
  --reserved_;
  Event* event = Open(kind);
  event->must_keep = true;
  return event;
}

Event* Recorder::Open(EventKind kind) {
  if (open_ == nullptr) {
    if (unused_.empty()) {
      const size_t n = std::min(kChunk, capacity_ - made_);
      slots_.push_back(std::make_unique<Event[]>(n));
      for (size_t i = n; i > 0; --i) unused_.push_back(&slots_.back()[i - 1]);
      made_ += n;
    }
    open_ = unused_.back();
    unused_.pop_back();
  }
  open_->Reset(kind);
  open_->time = clock_.Now();
  open_->worker = worker_;
  open_->dropped_before = lost_since_last_;
  return open_;
}

void Recorder::Commit() {
  assert(open_ != nullptr);
  if (open_ == nullptr) return;
  filled_.Push(std::exchange(open_, nullptr));  // there is room for all slots
  lost_since_last_ = 0;
  if (!unused_.empty()) Prefetch(unused_.back(), kTouched);
  recorded_.Add();
}

size_t Recorder::Peek(size_t max, std::vector<Event*>* out) {
  size_t n = std::min(max, filled_.Filled());
  for (size_t i = 0; i < n; ++i) out->push_back(filled_.Front(i));
  return n;
}

void Recorder::Release(size_t n) {
  for (size_t i = 0; i < n; ++i) {
    Event* event = filled_.Front(0);
    event->LetGo();  // on this thread, so that the worker never frees what it shared long ago
    filled_.Release(1);  // first: what is returned may be filled again at once
    returned_.Push(event);
  }
}

}  // namespace gatehouse::events
