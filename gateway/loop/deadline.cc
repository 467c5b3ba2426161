#include "gateway/loop/deadline.h"

namespace gatehouse::loop {
namespace {

int64_t TickOf(Instant when) {
  return (when.nanos + DeadlineWheel::kTickNanos - 1) / DeadlineWheel::kTickNanos;
}

}  // namespace

void Deadline::Set(Instant when) {
  when_ = when;
  int64_t tick = TickOf(when);
  if (slot_ >= 0) {
    if (queued_tick_ <= tick) return;  // the wheel comes by early enough and moves it on
    Unlink();
  }
  wheel_->Link(this, tick);
}

void Deadline::Unlink() {
  if (slot_ < 0) return;
  if (prev_ != nullptr) {
    prev_->next_ = next_;
  } else {
    wheel_->slots_[static_cast<size_t>(slot_)] = next_;
  }
  if (next_ != nullptr) next_->prev_ = prev_;
  prev_ = next_ = nullptr;
  slot_ = -1;
  --wheel_->linked_;
}

DeadlineWheel::DeadlineWheel(Loop* loop, Instant start) : tick_(start.nanos / kTickNanos) {
  if (loop == nullptr) return;
  timer_ = std::make_unique<Timer>(loop, [this] {
    Advance(Instant::Now());
    if (linked_ > 0) timer_->Start(absl::Nanoseconds(kTickNanos));
  });
}

DeadlineWheel::~DeadlineWheel() = default;

void DeadlineWheel::LinkInto(Deadline* d, int32_t slot) {
  Deadline*& head = slots_[static_cast<size_t>(slot)];
  d->slot_ = slot;
  d->prev_ = nullptr;
  d->next_ = head;
  if (head != nullptr) head->prev_ = d;
  head = d;
  ++linked_;
}

void DeadlineWheel::Link(Deadline* d, int64_t tick) {
  if (linked_ == 0 && timer_ != nullptr && !timer_->active()) {
    // Nobody ticked while the wheel was empty.
    tick_ = Instant::Now().nanos / kTickNanos;
    timer_->Start(absl::Nanoseconds(kTickNanos));
  }
  if (tick <= tick_) tick = tick_ + 1;
  d->queued_tick_ = tick;
  LinkInto(d, static_cast<int32_t>(tick % kSlots));
}

void DeadlineWheel::Advance(Instant now) {
  int64_t last = now.nanos / kTickNanos;
  int64_t steps = last - tick_ < kSlots ? last - tick_ : kSlots;
  int64_t first = last - steps + 1;
  if (last > tick_) tick_ = last;
  for (int64_t tick = first; tick <= last; ++tick) {
    // The list is set apart, because handlers link and unlink while it is visited.
    while (Deadline* d = slots_[static_cast<size_t>(tick % kSlots)]) {
      d->Unlink();
      LinkInto(d, static_cast<int32_t>(kSlots));
    }
    while (Deadline* d = slots_[static_cast<size_t>(kSlots)]) {
      d->Unlink();
      if (!d->armed()) continue;
      if (d->when_ > now) {
        Link(d, TickOf(d->when_));
        continue;
      }
      d->when_ = Instant{};
      d->handler_->OnDeadline(d);
    }
  }
}

}  // namespace gatehouse::loop
