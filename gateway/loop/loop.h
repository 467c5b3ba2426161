// Loop is one worker's event loop: readiness of descriptors, timers, functions posted by other threads, output flushed
// once per turn, and objects that must not die inside their own callback.
//
// One turn:   poll -> callbacks (Watch, Timer, Deadline, posted) -> flush what was marked dirty -> delete what was deferred
//
// Ownership:  the loop owns posted functions and deferred objects. Watch, Timer and Deadline belong to whoever made them
//             and must be destroyed before the loop.
// Threading:  Post and Stop from any thread; everything else on the thread that calls Run (or before it runs).
// Errors:     none; a posted function that never ran (the loop was stopped first) is destroyed unrun.
#pragma once

#include <ev.h>

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"
#include "gateway/loop/instant.h"

namespace gatehouse::loop {

class DeadlineWheel;

// Flushable is something that gathers output during a turn and sends it once, at the turn's end.
class Flushable {
 public:
  Flushable() = default;
  Flushable(const Flushable&) = delete;
  Flushable& operator=(const Flushable&) = delete;
  // Called once per turn in which MarkDirty was called for this. May mark others, or itself, dirty again: they are
  // flushed in the same turn, up to a bound, and else in the next.
  virtual void Flush() = 0;

 protected:
  // REQUIRES: not dirty in a loop (Loop::Unmark).
  virtual ~Flushable() = default;

 private:
  friend class Loop;
  bool dirty_ = false;
};

class Watch;

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Run returns after Stop. What was posted before Stop has run by then.
  void Run();
  // RunOnce does one turn; with `wait` false it does not block. For tests and tools.
  void RunOnce(bool wait);
  void Stop();
  // Post runs `f` on the loop's thread, in order of posting, never inside this call.
  void Post(absl::AnyInvocable<void()> f);

  // now is read once per turn: as old as the turn.
  Instant now() const { return now_; }

  void MarkDirty(Flushable* f);
  void Unmark(Flushable* f);

  // DeferDelete destroys `object` once the callback that runs has returned, at the end of the turn at the latest.
  template <typename T>
  void DeferDelete(std::unique_ptr<T> object) {
    if (object != nullptr) doomed_.push_back({object.release(), [](void* p) { delete static_cast<T*>(p); }});
  }

  DeadlineWheel& deadlines() { return *deadlines_; }
  struct ev_loop* raw() { return ev_; }

 private:
  friend class Watch;
  struct Doomed {
    void* object;
    void (*destroy)(void*);
  };
  static void OnAsync(struct ev_loop*, ev_async* w, int);
  static void OnPrepare(struct ev_loop*, ev_prepare* w, int);
  static void OnCheck(struct ev_loop*, ev_check* w, int);
  void Drain();
  void EndTurn();
  void DestroyDoomed();

  struct ev_loop* const ev_;
  Instant now_;
  ev_async async_;
  ev_prepare prepare_;
  ev_check check_;
  ev_idle idle_;  // active while work is left for another turn: keeps poll from blocking
  std::unique_ptr<DeadlineWheel> deadlines_;
  std::vector<Flushable*> dirty_;
  std::vector<Flushable*> flushing_;
  std::vector<Doomed> doomed_;

  Mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
};

// Watch tells when a descriptor is readable or writable. It does not own the descriptor.
class Watch {
 public:
  // `callback(readable, writable)`; it may destroy nothing that holds this Watch (DeferDelete).
  Watch(Loop* loop, int fd, absl::AnyInvocable<void(bool readable, bool writable)> callback);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Set says what to wait for; costs nothing when unchanged.
  void Set(bool read, bool write);
  bool reading() const { return (events_ & EV_READ) != 0; }
  bool writing() const { return (events_ & EV_WRITE) != 0; }
  int fd() const { return io_.fd; }

 private:
  static void OnReady(struct ev_loop*, ev_io* w, int revents);
  Loop* const loop_;
  int events_ = 0;
  ev_io io_;
  absl::AnyInvocable<void(bool, bool)> callback_;
};

// Timer is one-shot and exact to about a millisecond. For a timeout per connection use Deadline, which is cheaper.
class Timer {
 public:
  Timer(Loop* loop, absl::AnyInvocable<void()> callback);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Start (again) from now; a pending shot is replaced.
  void Start(absl::Duration after);
  void Stop();
  bool active() const { return ev_is_active(&timer_) != 0; }

 private:
  static void OnTime(struct ev_loop*, ev_timer* w, int);
  Loop* const loop_;
  ev_timer timer_;
  absl::AnyInvocable<void()> callback_;
};

}  // namespace gatehouse::loop
