// Hub is where all events meet: it numbers them, keeps the latest of them for those who come back, and lets any number
// of watchers read at their own pace.
//
//   gateways --Publish/Report--> ring of batches (wire form, made once) <--Next-- watchers, each with a place in it
//
// A watcher owns no queue. It has a place in the one bounded ring; one that falls behind the ring's tail gets a GAP
// event that counts what it missed. So a slow watcher costs nothing and slows nobody.
//
// Ownership:  watchers must be destroyed before the hub.
// Threading:  thread-safe. Wakes run on the hub's own thread, never inside Publish.
// Units:      the ring is bounded in events and in octets of wire form; whole batches are dropped.
// Errors:     none from Publish and Report: what is not understood is not the hub's matter.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "control/events/filter.h"
#include "gateway/base/clock.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event.pb.h"
#include "gatehouse/v1/event_service.pb.h"

namespace gatehouse::hub {

class Watcher;

struct HubOptions {
  size_t max_events = 100'000;         // kept for watchers
  size_t max_bytes = 64 * 1024 * 1024;  // of wire form kept
  size_t max_watchers = 1024;
  size_t max_runs = 4096;  // gateways' runs whose batch numbers are remembered
  // Between two wakes at least: a busy stream gathers meanwhile, the first event after silence goes at once.
  absl::Duration pace = absl::Milliseconds(20);
};

struct HubStats {
  uint64_t events = 0;  // published since the start
  uint64_t lost = 0;    // that gateways said they lost
  uint32_t watchers = 0;
  uint64_t missed = 0;  // by watchers that were too slow
  uint64_t behind = 0;  // how many events the slowest watcher has still to look at
};

class Hub {
 public:
  // REQUIRES: every option > 0; clock outlives this.
  explicit Hub(const Clock& clock, HubOptions options = {});
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // Random, one a hub: a cursor of another incarnation means nothing here.
  const std::string& incarnation() const { return incarnation_; }

  // Publish gives `count` events their cursors and appends them. `append(i, out)` adds the wire form of the i-th one
  // without a cursor to `out` (it may only append) and returns how many events were lost before it. Called in order, inside Publish.
  using AppendEvent = absl::FunctionRef<uint64_t(size_t i, std::string* out)>;
  void Publish(size_t count, AppendEvent append);
  // The same for messages; one without a time gets it.
  void Publish(absl::Span<v1::Event> events);
  // PublishOne is Publish for a single event.
  void PublishOne(v1::Event event);

  // Report takes batch number `batch` of a gateway's run, unless it was taken before, and returns the highest batch
  // taken of that run. The events are made to say that they come from `gateway`.
  uint64_t Report(absl::string_view gateway, absl::string_view run, uint64_t batch, absl::Span<v1::Event> events);

  // Watch returns a watcher that stands behind the newest event, or behind `after`. `wake` is called once after a Next
  // that found nothing, when there is something; it must be quick and must not destroy the watcher.
  // Errors: INVALID_ARGUMENT (filter), OUT_OF_RANGE (cursor), RESOURCE_EXHAUSTED (watchers).
  absl::StatusOr<std::unique_ptr<Watcher>> Watch(const v1::EventFilter& filter, const v1::Cursor* after,
                                                 absl::AnyInvocable<void()> wake);

  HubStats stats() const;
  // Sequence of the oldest event that is kept, or of the next one.
  uint64_t oldest() const {
    MutexLock lock(&mutex_);
    return FirstKept();
  }

 private:
  friend class Watcher;
  // Events as they travel: each preceded by WatchResponse's tag and its length, so that pieces put together are a
  // WatchResponse.
  struct Batch {
    uint64_t first = 0;  // sequence of the first
    std::string wire;
    std::vector<uint32_t> ends;  // of each event in `wire`
    uint64_t next() const { return first + ends.size(); }
  };
  // What outlives a watcher that is being woken while it goes.
  struct Waker {
    Mutex mutex;
    absl::AnyInvocable<void()> wake ABSL_GUARDED_BY(mutex);
  };

  void Dispatch();
  void Append(std::shared_ptr<const Batch> batch, uint64_t lost);
  // The batch that holds `sequence`, or the first after it; null when there is none yet.
  std::shared_ptr<const Batch> At(uint64_t sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t FirstKept() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const HubOptions options_;
  const std::string incarnation_;
  const std::string cursor_;  // the fields of an event's cursor up to its sequence

  // Serialises publishers; held while events are numbered and put in wire form.
  Mutex publish_mutex_;
  uint64_t next_sequence_ ABSL_GUARDED_BY(publish_mutex_) = 1;
  size_t typical_ ABSL_GUARDED_BY(publish_mutex_) = 512;  // octets of an event in the last batch

  Mutex report_mutex_;
  LruCache<std::string, uint64_t> runs_ ABSL_GUARDED_BY(report_mutex_);

  // Held briefly: a watcher takes one batch at a time.
  mutable Mutex mutex_;
  CondVar work_;
  std::deque<std::shared_ptr<const Batch>> ring_ ABSL_GUARDED_BY(mutex_);
  size_t kept_events_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t kept_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t head_ ABSL_GUARDED_BY(mutex_) = 1;  // sequence that the next event gets
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<const Watcher*> watchers_ ABSL_GUARDED_BY(mutex_);
  uint64_t missed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::shared_ptr<Waker>> armed_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Waker>> firing_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;  // the dispatcher is, for something to fire
  std::thread dispatcher_;
};

// Watcher is one reader's place in the hub's stream.
//
// Threading: thread-compatible; destroying it waits for a wake that runs.
class Watcher {
 public:
  struct Taken {
    size_t events = 0;
    bool more = false;  // there is more to look at; otherwise the wake is armed
  };

  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // A piece of the hub's ring, held by `keep`.
  struct Piece {
    std::shared_ptr<const void> keep;
    absl::string_view bytes;
  };

  // Next appends pieces that, put together, are the wire form of a WatchResponse with at most `max_events` events and
  // about `max_bytes`. It looks at no more than 4,096 events, so `more` may come with no event at all.
  Taken Next(size_t max_events, size_t max_bytes, std::vector<Piece>* out);

 private:
  friend class Hub;
  Watcher(Hub& hub, Filter filter, uint64_t next, std::shared_ptr<Hub::Waker> waker)
      : hub_(hub), filter_(std::move(filter)), next_(next), place_(next), waker_(std::move(waker)) {}
  Taken Take(size_t max_events, size_t max_bytes, std::vector<Piece>* out);
  Piece Gap(uint64_t missed, uint64_t last_missed) const;

  Hub& hub_;
  const Filter filter_;
  uint64_t next_;  // sequence to look at next
  std::atomic<uint64_t> place_;  // next_ as others may see it
  const std::shared_ptr<Hub::Waker> waker_;
  v1::Event scratch_;  // parsed for the filter
};

}  // namespace gatehouse::hub
