// Deadlines are coarse timeouts for connections: setting one later again, which happens at every request, is a store into
// the object and touches neither heap nor kernel. A wheel of lists, visited every 100 ms, finds those that are due.
//
// Ownership:  a Deadline belongs to its connection and leaves the wheel when destroyed.
// Threading:  on the loop's thread only.
// Units:      resolution 100 ms, never early; 64 bytes each.
#pragma once

#include <array>
#include <memory>

#include "gateway/loop/instant.h"
#include "gateway/loop/loop.h"

namespace gatehouse::loop {

class Deadline;

// Whoever owns deadlines; told which one passed. The deadline is clear when it is called.
class DeadlineHandler {
 public:
  virtual void OnDeadline(Deadline* deadline) = 0;

 protected:
  ~DeadlineHandler() = default;
};

class Deadline {
 public:
  Deadline(DeadlineWheel* wheel, DeadlineHandler* handler) : wheel_(wheel), handler_(handler) {}
  ~Deadline() { Unlink(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void Set(Instant when);
  void Clear() { when_ = Instant{}; }  // stays linked; the wheel forgets it when it comes by
  bool armed() const { return when_.nanos != 0; }
  Instant when() const { return when_; }

 private:
  friend class DeadlineWheel;
  void Unlink();

  DeadlineWheel* const wheel_;
  DeadlineHandler* const handler_;
  Deadline* prev_ = nullptr;
  Deadline* next_ = nullptr;
  Instant when_;             // zero: not armed
  int64_t queued_tick_ = 0;  // the tick it is linked for
  int32_t slot_ = -1;        // -1: not linked
};

class DeadlineWheel {
 public:
  static constexpr int64_t kTickNanos = 100'000'000;

  // `loop` may be null: then nobody ticks but the caller (tests).
  DeadlineWheel(Loop* loop, Instant start);
  ~DeadlineWheel();

  // Advance calls the handlers of all deadlines that are due at `now`.
  void Advance(Instant now);
  size_t linked() const { return linked_; }

 private:
  friend class Deadline;
  static constexpr int64_t kSlots = 512;
  void Link(Deadline* d, int64_t tick);
  void LinkInto(Deadline* d, int32_t slot);

  std::unique_ptr<Timer> timer_;
  int64_t tick_;  // the last tick that was visited
  size_t linked_ = 0;
  std::array<Deadline*, kSlots + 1> slots_{};  // the last one: being visited
};

}  // namespace gatehouse::loop
