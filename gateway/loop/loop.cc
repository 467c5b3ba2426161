#include "gateway/loop/loop.h"

#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "gateway/base/prefetch.h"
#include "gateway/loop/deadline.h"

namespace gatehouse::loop {
namespace {

// How often one turn may go round flush and delete before poll gets its turn again.
constexpr int kRounds = 8;
constexpr size_t kFlushableSize = 512;  // what of one is touched first, or thereabouts

void OnIdle(struct ev_loop*, ev_idle*, int) {}

}  // namespace

Loop::Loop() : ev_(ev_loop_new(EVFLAG_AUTO)), now_(Instant::Now()) {
  ABSL_RAW_CHECK(ev_ != nullptr, "no event loop: out of descriptors?");
  ev_async_init(&async_, OnAsync);
  async_.data = this;
  ev_async_start(ev_, &async_);
  ev_prepare_init(&prepare_, OnPrepare);
  prepare_.data = this;
  ev_prepare_start(ev_, &prepare_);
  ev_check_init(&check_, OnCheck);
  ev_set_priority(&check_, EV_MAXPRI);  // the clock is read before any callback of the turn
  check_.data = this;
  ev_check_start(ev_, &check_);
  ev_idle_init(&idle_, OnIdle);
  deadlines_ = std::make_unique<DeadlineWheel>(this, now_);
}

Loop::~Loop() {
  // What is destroyed here may defer or unmark still.
  for (int i = 0; i < kRounds && !doomed_.empty(); ++i) DestroyDoomed();
  std::vector<absl::AnyInvocable<void()>> posted;
  {
    MutexLock lock(&mutex_);
    posted.swap(posted_);
  }
  posted.clear();
  deadlines_.reset();
  ev_idle_stop(ev_, &idle_);
  ev_check_stop(ev_, &check_);
  ev_prepare_stop(ev_, &prepare_);
  ev_async_stop(ev_, &async_);
  ev_loop_destroy(ev_);
}

void Loop::Run() {
  bool stopped;
  {
    MutexLock lock(&mutex_);
    stopped = stop_;
  }
  // Stopped before it began: what was posted before that still runs.
  if (stopped) return Drain();
  ev_run(ev_, 0);
}

void Loop::RunOnce(bool wait) { ev_run(ev_, wait ? EVRUN_ONCE : EVRUN_NOWAIT); }

void Loop::Stop() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
  }
  ev_async_send(ev_, &async_);
}

void Loop::Post(absl::AnyInvocable<void()> f) {
  bool first;
  {
    MutexLock lock(&mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(f));
  }
  if (first) ev_async_send(ev_, &async_);
}

void Loop::MarkDirty(Flushable* f) {
  if (f->dirty_) return;
  f->dirty_ = true;
  dirty_.push_back(f);
}

void Loop::Unmark(Flushable* f) {
  if (!f->dirty_) return;
  f->dirty_ = false;
  for (Flushable*& d : dirty_) {
    if (d == f) d = nullptr;
  }
  for (Flushable*& d : flushing_) {
    if (d == f) d = nullptr;
  }
}

void Loop::Drain() {
  std::vector<absl::AnyInvocable<void()>> posted;
  bool stop;
  {
    MutexLock lock(&mutex_);
    posted.swap(posted_);
    stop = stop_;
    stop_ = false;
  }
  for (absl::AnyInvocable<void()>& f : posted) f();
  if (stop) ev_break(ev_, EVBREAK_ALL);
}

void Loop::EndTurn() {
  for (int round = 0; round < kRounds && (!dirty_.empty() || !doomed_.empty()); ++round) {
    flushing_.swap(dirty_);
    for (size_t i = 0; i < flushing_.size(); ++i) {
      Flushable* f = flushing_[i];
      if (i + 1 < flushing_.size() && flushing_[i + 1] != nullptr) Prefetch(flushing_[i + 1], kFlushableSize);
      if (f == nullptr) continue;
      f->dirty_ = false;
      flushing_[i] = nullptr;
      f->Flush();
    }
    flushing_.clear();
    DestroyDoomed();
  }
  // Work is left: the next poll must not block.
  if (!dirty_.empty() || !doomed_.empty()) {
    ev_idle_start(ev_, &idle_);
  } else if (ev_is_active(&idle_)) {
    ev_idle_stop(ev_, &idle_);
  }
}

void Loop::DestroyDoomed() {
  // What is destroyed may defer others.
  for (size_t i = 0; i < doomed_.size(); ++i) {
    const Doomed doomed = doomed_[i];
    doomed.destroy(doomed.object);
  }
  doomed_.clear();
}

void Loop::OnAsync(struct ev_loop*, ev_async* w, int) { static_cast<Loop*>(w->data)->Drain(); }
void Loop::OnPrepare(struct ev_loop*, ev_prepare* w, int) { static_cast<Loop*>(w->data)->EndTurn(); }
void Loop::OnCheck(struct ev_loop*, ev_check* w, int) {
  static_cast<Loop*>(w->data)->now_ = Instant::Now();
}

Watch::Watch(Loop* loop, int fd, absl::AnyInvocable<void(bool, bool)> callback)
    : loop_(loop), callback_(std::move(callback)) {
  ev_io_init(&io_, OnReady, fd, 0);
  io_.data = this;
}

Watch::~Watch() { ev_io_stop(loop_->raw(), &io_); }

void Watch::Set(bool read, bool write) {
  int events = (read ? EV_READ : 0) | (write ? EV_WRITE : 0);
  if (events == events_) return;
  events_ = events;
  ev_io_stop(loop_->raw(), &io_);
  if (events == 0) return;
  ev_io_set(&io_, io_.fd, events);
  ev_io_start(loop_->raw(), &io_);
}

void Watch::OnReady(struct ev_loop*, ev_io* w, int revents) {
  auto* watch = static_cast<Watch*>(w->data);
  if ((revents & EV_ERROR) != 0) revents = watch->events_;  // the next system call tells what is wrong
  Loop* loop = watch->loop_;
  watch->callback_((revents & EV_READ) != 0, (revents & EV_WRITE) != 0);
  // Now, while what it touched is still in the processor's cache. The watch itself may be among it.
  loop->DestroyDoomed();
}

Timer::Timer(Loop* loop, absl::AnyInvocable<void()> callback)
    : loop_(loop), callback_(std::move(callback)) {
  ev_timer_init(&timer_, OnTime, 0, 0);
  timer_.data = this;
}

Timer::~Timer() { Stop(); }

void Timer::Start(absl::Duration after) {
  Stop();
  ev_timer_set(&timer_, absl::ToDoubleSeconds(after < absl::ZeroDuration() ? absl::ZeroDuration() : after), 0.);
  ev_timer_start(loop_->raw(), &timer_);
}

void Timer::Stop() { ev_timer_stop(loop_->raw(), &timer_); }

void Timer::OnTime(struct ev_loop*, ev_timer* w, int) { static_cast<Timer*>(w->data)->callback_(); }

}  // namespace gatehouse::loop
