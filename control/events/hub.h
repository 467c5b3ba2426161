// Hub is where all events meet: it numbers them, keeps the latest of them for those who come back, and lets any number
// of watchers read at their own pace.
//
//   gateways --Publish/Report--> ring of batches (wire form, made once) <--Next-- watchers, each with a place in it
//                                  `--> archive (disk) <--Ask-- watchers that catch up
//
// A watcher owns no queue. It has a place in the one bounded ring; one that falls behind the ring's tail gets a GAP
// event that counts what it missed. So a slow watcher costs nothing and slows nobody. One that begins in the past reads the
// archive, a stretch at a time and without waiting, until it has once seen the newest event.
//
// Ownership:  watchers must be destroyed before the hub.
// Threading:  thread-safe. Wakes run on the hub's own thread, never inside Publish.
// Units:      the ring is bounded in events and in octets of wire form; whole batches are dropped.
// Errors:     none from Publish and Report: what is not understood is not the hub's matter.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
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
#include "control/events/archive.h"
#include "control/events/batch.h"
#include "control/events/filter.h"
#include "control/events/summary.h"
#include "gateway/base/clock.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event.pb.h"
#include "gatehouse/v1/event_service.pb.h"

namespace gatehouse::hub {

class Watcher;

struct HubOptions {
  size_t max_events = 100'000;         // kept for watchers
  size_t max_bytes = 64 * 1024 * 1024;  // of wire form kept; memory is a quarter more at most
  size_t max_watchers = 1024;
  size_t max_runs = 4096;  // gateways' runs whose batch numbers are remembered
  // Between two wakes at least: a busy stream gathers meanwhile, the first event after silence goes at once.
  absl::Duration pace = absl::Milliseconds(20);
};

// Where else events go.
struct HubSinks {
  std::unique_ptr<Archive> archive;  // may be null; with it the stream goes on over a restart
  // Sees each batch, in order, within Publish: it must be quick. May be empty.
  std::function<void(const BatchRef&)> tap;
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
  explicit Hub(const Clock& clock, HubOptions options = {}, HubSinks sinks = {});
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // The archive's, else random, one a hub: a cursor of another incarnation means nothing here.
  const std::string& incarnation() const { return incarnation_; }

  // Publish gives `count` events their cursors and appends them. `append(i, out)` adds the wire form of the i-th one
  // without a cursor to `out` (it may only append), sets `facts`, whatever is in it, to what ReadFacts would find there, and returns how many events were
  // lost before it. Called in order, inside Publish.
  using AppendEvent = absl::FunctionRef<uint64_t(size_t i, std::string* out, Facts* facts)>;
  void Publish(size_t count, AppendEvent append);
  // The same for messages; one without a time gets it.
  void Publish(absl::Span<v1::Event> events);
  // PublishOne is Publish for a single event.
  void PublishOne(v1::Event event);

  // Report takes batch number `batch` of a gateway's run, unless it was taken before, and returns the highest batch
  // taken of that run. The events are made to say that they come from `gateway`; AUDIT events are not a gateway's to tell
  // and are left out.
  uint64_t Report(absl::string_view gateway, absl::string_view run, uint64_t batch, absl::Span<v1::Event> events);

  // Watch returns a watcher that stands behind the newest event, or where the request says. `wake` is called once after a
  // Next that found nothing, when there is something; it must be quick and must not destroy the watcher.
  // Errors: INVALID_ARGUMENT (filter, `since`), OUT_OF_RANGE (cursor, `since`), RESOURCE_EXHAUSTED (watchers).
  absl::StatusOr<std::unique_ptr<Watcher>> Watch(const v1::WatchRequest& request, absl::AnyInvocable<void()> wake);

  const Summary& summary() const { return summary_; }
  // Unset without an archive.
  std::optional<v1::ArchiveStatus> archive() const;
  // Whether an event that is published now will be on disk, as far as one can tell; true without an archive. Does not wait.
  bool KeepsEvents() const { return sinks_.archive == nullptr || sinks_.archive->has_room(); }
  // Writes what the archive has still to write, and ends it. Events that come later are not kept. Idempotent.
  void StopArchive();

  HubStats stats() const;
  // Sequence of the oldest event that is kept, or of the next one.
  uint64_t oldest() const {
    MutexLock lock(&mutex_);
    return FirstKept();
  }

 private:
  friend class Watcher;
  // What outlives a watcher that is being woken while it goes.
  struct Waker {
    Mutex mutex;
    absl::AnyInvocable<void()> wake ABSL_GUARDED_BY(mutex);
    // From the archive. Under a lock of its own, for the wake takes it.
    Mutex found_mutex;
    bool asked ABSL_GUARDED_BY(found_mutex) = false;
    std::optional<Found> found ABSL_GUARDED_BY(found_mutex);
  };
  // Where a watch begins.
  struct Beginning {
    uint64_t next = 0;
    int64_t since_micros = 0;
    bool gap = false;
    uint64_t missed = 0;  // before it; 0: nobody knows how many
  };

  void Dispatch();
  // Append returns the batches that left the ring.
  std::vector<std::shared_ptr<Batch>> Append(std::shared_ptr<Batch> batch, uint64_t lost);
  // A string with room for so many octets, and what becomes of a batch that left the ring: its string is used again, because
  // fresh memory from the kernel costs more than writing the events into it.
  std::string TakeWire(size_t room) ABSL_EXCLUSIVE_LOCKS_REQUIRED(publish_mutex_);
  void Reuse(std::vector<std::shared_ptr<Batch>> batches) ABSL_EXCLUSIVE_LOCKS_REQUIRED(publish_mutex_);
  void PublishBatch(size_t count, AppendEvent append, absl::string_view run, uint64_t run_batch);
  absl::StatusOr<Beginning> BeginningOf(const v1::WatchRequest& request, const Filter& filter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The batch that holds `sequence`, or the first after it; null when there is none yet.
  BatchRef At(uint64_t sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t FirstKept() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const HubOptions options_;
  const HubSinks sinks_;
  const bool archived_;  // there is an archive
  const std::string incarnation_;
  const absl::Time started_;
  const std::string cursor_;  // the fields of an event's cursor up to its sequence
  const uint64_t start_;      // sequence of the first event since the start
  Summary summary_;

  // Serialises publishers; held while events are numbered and put in wire form.
  Mutex publish_mutex_;
  uint64_t next_sequence_ ABSL_GUARDED_BY(publish_mutex_);
  size_t typical_ ABSL_GUARDED_BY(publish_mutex_) = 512;  // octets of an event in the last batch
  std::vector<std::string> spare_ ABSL_GUARDED_BY(publish_mutex_);

  Mutex report_mutex_;
  LruCache<std::string, uint64_t> runs_ ABSL_GUARDED_BY(report_mutex_);

  // Held briefly: a watcher takes one batch at a time.
  mutable Mutex mutex_;
  CondVar work_;
  std::deque<std::shared_ptr<Batch>> ring_ ABSL_GUARDED_BY(mutex_);
  size_t kept_events_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t kept_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t head_ ABSL_GUARDED_BY(mutex_);  // sequence that the next event gets
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
    bool more = false;   // there is more to look at; otherwise the wake is armed
    bool asked = false;  // the archive was; the wake follows its answer
  };

  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // A piece of the hub's ring, held by `keep`.
  struct Piece {
    std::shared_ptr<const void> keep;
    absl::string_view bytes;
  };

  // The cursor of the event behind which the watcher stands.
  v1::Cursor place() const;
  // Next appends pieces that, put together, are the wire form of a WatchResponse with at most `max_events` events and
  // about `max_bytes`. It looks at no more than 4,096 events, so `more` may come with no event at all.
  Taken Next(size_t max_events, size_t max_bytes, std::vector<Piece>* out);

 private:
  friend class Hub;
  // What one Next may still take, and what it has.
  struct Load {
    size_t max_events;
    size_t max_bytes;
    std::vector<Piece>* out;
    size_t looked = 0;
    size_t bytes = 0;
    Taken taken;
    bool full() const;
  };
  Watcher(Hub& hub, Filter filter, const Hub::Beginning& beginning, uint64_t head, std::shared_ptr<Hub::Waker> waker)
      : hub_(hub), filter_(std::make_shared<const Filter>(std::move(filter))), beginning_(beginning), head_(head),
        next_(beginning.next), place_(beginning.next), waker_(std::move(waker)) {}
  void Take(Load* load);
  // From the archive; false: it was asked, or will have nothing.
  bool TakeArchived(Load* load);
  void TakeBatch(const BatchRef& batch, Load* load);
  void TakeGap(uint64_t missed, uint64_t next, absl::string_view why, Load* load);
  // `missed` is set when an event that is not wanted tells of losses that may have been.
  bool Wants(absl::string_view entry, uint64_t* missed);

  Hub& hub_;
  const std::shared_ptr<const Filter> filter_;
  Hub::Beginning beginning_;
  const uint64_t head_;       // events from here on are new, whatever their time
  bool catching_up_ = true;   // until it has seen the newest once
  std::optional<Found> found_;  // of the archive, not taken whole yet
  uint64_t next_;  // sequence to look at next
  std::atomic<uint64_t> place_;  // next_ as others may see it
  const std::shared_ptr<Hub::Waker> waker_;
  v1::Event scratch_;  // parsed for the filter
};

}  // namespace gatehouse::hub
