#include "control/events/hub.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/steady.h"
#include "gateway/base/digest.h"

namespace gatehouse::hub {
namespace {

constexpr size_t kMaxLooked = 4096;
constexpr size_t kMostSpare = 4;  // strings
constexpr size_t kLeastSpare = 64 * 1024;   // smaller ones come cheap
constexpr size_t kLargestSpare = 4 << 20;
constexpr absl::Duration kMostAhead = absl::Hours(1);  // of our clock, that an event is believed to be
constexpr size_t kSequenceSize = 9;  // of a varint of 63 bits
constexpr absl::string_view kTooSlow =
    "this watcher was too slow; events it never saw are counted, whether its filter wanted them or not";
constexpr absl::string_view kNotKept = "these events are not kept any more, or never were";

// cursor: {incarnation, sequence}; all but the sequence, which has a fixed length so that the message's is known.
std::string CursorPrefix(const std::string& incarnation) {
  v1::Cursor cursor;
  cursor.set_incarnation(incarnation);
  const std::string fields = cursor.SerializeAsString();
  std::string prefix(1, v1::Event::kCursorFieldNumber << 3 | 2);
  prefix += static_cast<char>(fields.size() + 1 + kSequenceSize);
  return prefix + fields + static_cast<char>(v1::Cursor::kSequenceFieldNumber << 3);
}

void AppendSequence(uint64_t sequence, std::string* out) {
  char octets[kSequenceSize];
  for (char& octet : octets) {
    octet = static_cast<char>(sequence | 0x80);
    sequence >>= 7;
  }
  octets[kSequenceSize - 1] &= 0x7F;
  out->append(octets, kSequenceSize);
}

}  // namespace

Hub::Hub(const Clock& clock, HubOptions options, HubSinks sinks)
    : clock_(clock),
      options_(options),
      sinks_(std::move(sinks)),
      archived_(sinks_.archive != nullptr),
      incarnation_(archived_ ? sinks_.archive->incarnation() : HexLower(RandomBytes(8))),
      started_(clock.Now()),
      cursor_(CursorPrefix(incarnation_)),
      start_(archived_ ? sinks_.archive->next() : 1),
      summary_(clock),
      next_sequence_(start_),
      runs_(options.max_runs),
      head_(start_) {
  if (sinks_.archive != nullptr) {
    MutexLock lock(&report_mutex_);
    for (const auto& [run, batch] : sinks_.archive->runs()) runs_.Put(run, batch);
  }
  dispatcher_ = std::thread([this] { Dispatch(); });
  if (sinks_.archive != nullptr) sinks_.archive->Start();
}

Hub::~Hub() {
  StopArchive();
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    work_.SignalAll();
  }
  dispatcher_.join();
}

void Hub::StopArchive() {
  if (sinks_.archive != nullptr) sinks_.archive->Stop();
}

std::optional<v1::ArchiveStatus> Hub::archive() const {
  if (sinks_.archive == nullptr) return std::nullopt;
  return sinks_.archive->status();
}

void Hub::Publish(size_t count, AppendEvent append) { PublishBatch(count, append, {}, 0); }

void Hub::PublishBatch(size_t count, AppendEvent append, absl::string_view run, uint64_t run_batch) {
  if (count == 0) return;
  uint64_t lost = 0;
  auto batch = std::make_shared<Batch>();
  batch->ends.reserve(count);
  batch->run = std::string(run);
  batch->run_batch = run_batch;
  const absl::Time now = clock_.Now();
  MutexLock lock(&publish_mutex_);
  batch->wire = TakeWire(count * (typical_ + typical_ / 16) + 1024);
  batch->first = next_sequence_;
  const int64_t now_micros = absl::ToUnixMicros(now);
  const int64_t latest = absl::ToUnixMicros(now + kMostAhead);
  {
    Summary::Adding counts(&summary_, now);
    Facts facts;
    for (size_t i = 0; i < count; ++i) {
      const size_t start = BeginEntry(&batch->wire);
      batch->wire += cursor_;
      AppendSequence(next_sequence_++, &batch->wire);
      const uint64_t lost_before = append(i, &batch->wire, &facts);
      if (lost_before > 0) batch->types |= kLostBit;
      lost += lost_before;
      // A gateway whose clock is wrong, or that lies, keeps no event longer than it is to be kept.
      if (facts.micros == 0 || facts.micros > latest) facts.micros = now_micros;
      batch->Note(facts);
      counts.Add(facts);
      EndEntry(start, &batch->wire);
      batch->ends.push_back(static_cast<uint32_t>(batch->wire.size()));
    }
  }
  typical_ = batch->wire.size() / count;
  // The ring is bounded by what is written: of a single event most would be room.
  if (batch->wire.capacity() > batch->wire.size() + batch->wire.size() / 4) batch->wire.shrink_to_fit();
  // Still under publish_mutex_: batches reach archive and ring in the order of their numbers, the archive first, so that
  // what leaves the ring is there.
  if (sinks_.archive != nullptr) sinks_.archive->Add(batch);
  if (sinks_.tap) sinks_.tap(batch);
  Reuse(Append(std::move(batch), lost));
}

std::string Hub::TakeWire(size_t room) {
  for (std::string& spare : spare_) {
    // One that is much too large would make the ring larger than it is counted.
    if (spare.capacity() < room || spare.capacity() / 2 > room) continue;
    std::swap(spare, spare_.back());
    std::string wire = std::move(spare_.back());
    spare_.pop_back();
    return wire;
  }
  std::string wire;
  wire.reserve(room);
  return wire;
}

void Hub::Reuse(std::vector<std::shared_ptr<Batch>> batches) {
  for (std::shared_ptr<Batch>& batch : batches) {
    // A watcher or the archive may hold it still. Nobody can get at it any more once only this holds it.
    const size_t size = batch->wire.capacity();
    if (size < kLeastSpare || size > kLargestSpare || batch.use_count() != 1) continue;
    // What the last holder did comes before what is done here: giving up a reference is an acquire (the thread sanitizer knows no fence).
    std::shared_ptr<Batch>(batch).reset();
    if (spare_.size() == kMostSpare) spare_.erase(spare_.begin());
    batch->wire.clear();
    spare_.push_back(std::move(batch->wire));
  }
}

namespace {

auto Appender(absl::Span<v1::Event> events, absl::Time now) {
  return [events, now](size_t i, std::string* out, Facts* facts) {
    v1::Event& event = events[i];
    event.clear_cursor();
    if (!event.has_time()) SetTime(now, event.mutable_time());
    const size_t start = out->size();
    event.AppendToString(out);
    facts->Clear();
    ReadFacts(absl::string_view(*out).substr(start), facts);
    return event.missed();
  };
}

}  // namespace

void Hub::Publish(absl::Span<v1::Event> events) { PublishBatch(events.size(), Appender(events, clock_.Now()), {}, 0); }

void Hub::PublishOne(v1::Event event) { Publish(absl::MakeSpan(&event, 1)); }

uint64_t Hub::Report(absl::string_view gateway, absl::string_view run, uint64_t batch,
                     absl::Span<v1::Event> events) {
  // The length keeps ("a", "bc") and ("ab", "c") apart.
  const std::string key = absl::StrCat(gateway.size(), ":", gateway, run);
  MutexLock lock(&report_mutex_);
  uint64_t* seen = runs_.Find(key);
  if (seen != nullptr && batch <= *seen) return *seen;
  runs_.Put(key, batch);
  // Who wrote is the control plane's to say.
  const auto end = std::remove_if(events.begin(), events.end(), [](const v1::Event& e) { return e.type() == v1::Event::AUDIT; });
  events = events.subspan(0, static_cast<size_t>(end - events.begin()));
  for (v1::Event& event : events) event.set_gateway(std::string(gateway));
  PublishBatch(events.size(), Appender(events, clock_.Now()), key, batch);
  return batch;
}

std::vector<std::shared_ptr<Batch>> Hub::Append(std::shared_ptr<Batch> batch, uint64_t lost) {
  std::vector<std::shared_ptr<Batch>> left;
  MutexLock lock(&mutex_);
  head_ = batch->next();
  lost_ += lost;
  kept_events_ += batch->ends.size();
  kept_bytes_ += batch->wire.size();
  ring_.push_back(std::move(batch));
  // The newest batch stays even when it alone is over a bound.
  while (ring_.size() > 1 && (kept_events_ > options_.max_events || kept_bytes_ > options_.max_bytes)) {
    kept_events_ -= ring_.front()->ends.size();
    kept_bytes_ -= ring_.front()->wire.size();
    left.push_back(std::move(ring_.front()));
    ring_.pop_front();
  }
  if (armed_.empty()) return left;
  firing_.insert(firing_.end(), std::make_move_iterator(armed_.begin()), std::make_move_iterator(armed_.end()));
  armed_.clear();
  if (waiting_) work_.SignalOne();
  return left;
}

void Hub::Dispatch() {
  for (bool paced = false;;) {
    std::vector<std::shared_ptr<Waker>> wakers;
    {
      MutexLock lock(&mutex_);
      const SteadyTime next = SteadyAfter(options_.pace);
      while (!stopping_ && paced && SteadyNow() < next) work_.WaitFor(&mutex_, Until(next));
      waiting_ = true;
      while (!stopping_ && firing_.empty()) work_.Wait(&mutex_);
      waiting_ = false;
      if (stopping_) return;
      wakers.swap(firing_);
      paced = true;
    }
    for (const auto& waker : wakers) {
      MutexLock lock(&waker->mutex);
      if (waker->wake) waker->wake();
    }
  }
}

uint64_t Hub::FirstKept() const { return ring_.empty() ? head_ : ring_.front()->first; }

BatchRef Hub::At(uint64_t sequence) {
  auto it = std::upper_bound(ring_.begin(), ring_.end(), sequence,
                             [](uint64_t s, const std::shared_ptr<Batch>& b) { return s < b->next(); });
  return it == ring_.end() ? nullptr : *it;
}

absl::StatusOr<Hub::Beginning> Hub::BeginningOf(const v1::WatchRequest& request, const Filter& filter) {
  Beginning b;
  b.next = head_;
  if (request.has_after() && request.has_since()) return absl::InvalidArgumentError("since: not together with `after`");
  if (!request.has_after() && !request.has_since() && !request.from_oldest()) return b;
  // What is kept, of the events that the filter may want.
  uint64_t oldest = FirstKept();
  int64_t oldest_micros = ring_.empty() ? absl::ToUnixMicros(clock_.Now()) : ring_.front()->min_micros;
  if (oldest == start_) oldest_micros = std::min(oldest_micros, absl::ToUnixMicros(started_));
  if (archived_) {
    const ArchiveBounds kept = sinks_.archive->bounds();
    const bool audit = filter.types() == TypeBit(v1::Event::AUDIT);
    const uint64_t first = audit ? kept.audit_first : kept.first;
    const int64_t first_micros = audit ? kept.oldest_audit_micros : kept.oldest_micros;
    if (first < oldest) {
      oldest = first;
      if (first_micros != 0) oldest_micros = std::min(oldest_micros, first_micros);
    }
  }
  // What came before the oldest that is kept. Without an archive nobody knows what was before the start.
  const bool whole = archived_ && oldest == 1;
  b.next = oldest;
  if (request.has_since()) {
    if (request.since().seconds() < 0 || request.since().seconds() > 253'402'300'799 || request.since().nanos() < 0 ||
        request.since().nanos() > 999'999'999) {
      return absl::InvalidArgumentError("since: not a time between 1970 and 9999");
    }
    b.since_micros = MicrosOf(request.since());
    if (b.since_micros >= oldest_micros || whole) return b;
    if (!request.from_oldest()) {
      return absl::OutOfRangeError(absl::StrCat(
          "since: the oldest event that is kept is of ",
          absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMicros(oldest_micros), absl::UTCTimeZone()),
          "; with from_oldest the stream begins there"));
    }
    b.gap = true;
    return b;
  }
  if (!request.has_after()) {
    b.gap = oldest != 1;
    b.missed = oldest - 1;
    return b;
  }
  const v1::Cursor& after = request.after();
  if (after.incarnation() != incarnation_) {
    if (!request.from_oldest()) {
      return absl::OutOfRangeError("after: the cursor is of another incarnation of the hub (it was restarted without an archive, or "
                                   "the archive was set aside)");
    }
    b.gap = true;
    return b;
  }
  if (after.sequence() >= head_) {
    return absl::OutOfRangeError(
        absl::StrCat("after: event ", after.sequence(), " does not exist, the last one is ", head_ - 1));
  }
  if (after.sequence() + 1 >= oldest) {
    b.next = after.sequence() + 1;
    return b;
  }
  if (!request.from_oldest()) {
    return absl::OutOfRangeError(absl::StrCat("after: events from ", after.sequence() + 1,
                                              " on are asked for, the oldest one kept is ", oldest));
  }
  b.gap = true;
  b.missed = oldest - after.sequence() - 1;
  return b;
}

absl::StatusOr<std::unique_ptr<Watcher>> Hub::Watch(const v1::WatchRequest& request, absl::AnyInvocable<void()> wake) {
  absl::StatusOr<Filter> checked = Filter::Create(request.filter());
  if (!checked.ok()) return checked.status();
  auto waker = std::make_shared<Waker>();
  {
    MutexLock lock(&waker->mutex);
    waker->wake = std::move(wake);
  }
  MutexLock lock(&mutex_);
  const absl::StatusOr<Beginning> beginning = BeginningOf(request, *checked);
  if (!beginning.ok()) return beginning.status();
  if (watchers_.size() >= options_.max_watchers) {
    return absl::ResourceExhaustedError(absl::StrCat("there are ", watchers_.size(), " watchers, the most allowed"));
  }
  std::unique_ptr<Watcher> watcher(new Watcher(*this, *std::move(checked), *beginning, head_, std::move(waker)));
  watchers_.insert(watcher.get());
  return watcher;
}

HubStats Hub::stats() const {
  MutexLock lock(&mutex_);
  HubStats stats{head_ - start_, lost_, static_cast<uint32_t>(watchers_.size()), missed_, 0};
  for (const Watcher* watcher : watchers_) {
    stats.behind = std::max(stats.behind, head_ - watcher->place_.load(std::memory_order_relaxed));
  }
  return stats;
}

Watcher::~Watcher() {
  {
    MutexLock lock(&waker_->mutex);
    waker_->wake = nullptr;
  }
  MutexLock lock(&hub_.mutex_);
  hub_.watchers_.erase(this);
  hub_.armed_.erase(std::remove(hub_.armed_.begin(), hub_.armed_.end(), waker_), hub_.armed_.end());
}

v1::Cursor Watcher::place() const {
  v1::Cursor cursor;
  cursor.set_incarnation(hub_.incarnation_);
  cursor.set_sequence(next_ - 1);
  return cursor;
}

Watcher::Taken Watcher::Next(size_t max_events, size_t max_bytes, std::vector<Piece>* out) {
  Load load{max_events, max_bytes, out};
  Take(&load);
  place_.store(next_, std::memory_order_relaxed);
  return load.taken;
}

bool Watcher::Load::full() const { return taken.events >= max_events || bytes >= max_bytes || looked >= kMaxLooked; }

void Watcher::TakeGap(uint64_t missed, uint64_t next, absl::string_view why, Load* load) {
  v1::Event gap;
  gap.set_type(v1::Event::GAP);
  gap.set_outcome(v1::Event::NOTICE);
  gap.set_missed(missed);
  next_ = next;
  *gap.mutable_cursor() = place();
  gap.set_detail(std::string(why));
  SetTime(hub_.clock_.Now(), gap.mutable_time());
  const auto wire = std::make_shared<const std::string>(EntryOf(gap));
  load->out->push_back(Piece{wire, *wire});
  load->bytes += wire->size();
  ++load->taken.events;
}

bool Watcher::Wants(absl::string_view entry, uint64_t* missed) {
  const bool by_time = beginning_.since_micros != 0 && next_ < head_;
  if (filter_->empty() && !by_time) return true;
  const absl::string_view event = EventOf(entry);
  if (!scratch_.ParseFromArray(event.data(), static_cast<int>(event.size()))) return false;
  if (by_time && MicrosOf(scratch_.time()) < beginning_.since_micros) return false;
  if (filter_->Matches(scratch_)) return true;
  if (filter_->MayHaveMatchedBefore(scratch_)) *missed = scratch_.missed();
  return false;
}

void Watcher::TakeBatch(const BatchRef& batch, Load* load) {
  // Events that follow one another are one piece.
  bool follows = false;
  next_ = std::max(next_, batch->first);
  for (; next_ < batch->next() && !load->full(); ++load->looked) {
    const absl::string_view entry = batch->entry(static_cast<size_t>(next_ - batch->first));
    uint64_t missed = 0;
    const bool wanted = Wants(entry, &missed);
    ++next_;
    if (!wanted) {
      follows = false;
      if (missed > 0) {
        TakeGap(missed, next_, absl::StrCat("gateway ", scratch_.gateway(), " lost these events, whether the filter wanted them or not"), load);
      }
      continue;
    }
    if (follows) {
      absl::string_view& piece = load->out->back().bytes;
      piece = absl::string_view(piece.data(), piece.size() + entry.size());
    } else {
      load->out->push_back(Piece{batch, entry});
      follows = true;
    }
    load->bytes += entry.size();
    ++load->taken.events;
  }
}

bool Watcher::TakeArchived(Load* load) {
  if (!found_.has_value()) {
    MutexLock lock(&waker_->found_mutex);
    found_ = std::exchange(waker_->found, std::nullopt);
    if (!found_.has_value()) {
      if (std::exchange(waker_->asked, true)) return false;
      hub_.sinks_.archive->Ask(Wanted{next_, filter_, beginning_.since_micros}, [waker = waker_](Found found) {
        {
          MutexLock answered(&waker->found_mutex);
          waker->asked = false;
          waker->found = std::move(found);
        }
        MutexLock waking(&waker->mutex);
        if (waker->wake) waker->wake();
      });
      return false;
    }
  }
  if (found_->gap && found_->next > next_) {
    TakeGap(found_->missed, found_->next, kNotKept, load);
  } else if (found_->batch != nullptr) {
    TakeBatch(found_->batch, load);
    if (next_ < found_->batch->next()) return true;  // the rest next time
  }
  const bool nothing = found_->next <= next_ && found_->batch == nullptr && !found_->gap;
  next_ = std::max(next_, found_->next);
  found_.reset();
  // Not even the archive has what the ring has let go of: it was stopped, or never had it.
  catching_up_ = !nothing;
  return true;
}

void Watcher::Take(Load* load) {
  if (std::exchange(beginning_.gap, false)) TakeGap(beginning_.missed, next_, kNotKept, load);
  while (!load->full()) {
    BatchRef batch;
    bool behind = false;
    {
      MutexLock lock(&hub_.mutex_);
      behind = next_ < hub_.FirstKept() && catching_up_ && hub_.archived_;
      batch = behind ? nullptr : hub_.At(next_);
      if (batch != nullptr && next_ < batch->first) hub_.missed_ += batch->first - next_;
      if (!behind && batch == nullptr) {
        catching_up_ = false;
        // Nothing now. A caller that has got something comes again anyway.
        if (load->taken.events == 0) {
          hub_.armed_.push_back(waker_);
        } else {
          load->taken.more = true;
        }
        return;
      }
    }
    if (behind || found_.has_value()) {
      if (!TakeArchived(load)) {
        // The archive's answer wakes us; who has got something need not wait for that.
        load->taken.more = load->taken.events != 0;
        load->taken.asked = true;
        return;
      }
      continue;
    }
    if (next_ < batch->first) TakeGap(batch->first - next_, batch->first, kTooSlow, load);
    TakeBatch(batch, load);
  }
  load->taken.more = true;
}

}  // namespace gatehouse::hub
