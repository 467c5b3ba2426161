#include "control/events/hub.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/base/digest.h"
#include "google/protobuf/io/coded_stream.h"

namespace gatehouse::hub {
namespace {

using google::protobuf::io::CodedOutputStream;

constexpr size_t kMaxLooked = 4096;
constexpr size_t kLengthSize = 2;  // octets kept free for the length of an event
constexpr size_t kSequenceSize = 9;  // of a varint of 63 bits
constexpr char kEventsTag = (v1::WatchResponse::kEventsFieldNumber << 3) | 2;

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

// An entry of WatchResponse.events, whose length is known at its end. Begin returns what End wants.
size_t BeginEntry(std::string* out) {
  out->push_back(kEventsTag);
  out->append(kLengthSize, '\0');
  return out->size();
}

void EndEntry(size_t start, std::string* out) {
  const size_t size = out->size() - start;
  uint8_t length[10];
  size_t n = static_cast<size_t>(CodedOutputStream::WriteVarint64ToArray(size, length) - length);
  if (n > kLengthSize) out->insert(start, n - kLengthSize, '\0');
  if (n == 1) {  // a longer varint than need be, which parsers take
    length[0] |= 0x80;
    length[1] = 0;
    n = 2;
  }
  std::memcpy(out->data() + start - kLengthSize, length, n);
}

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

// The event itself, within an entry.
bool ParseWire(absl::string_view entry, v1::Event* out) {
  size_t skip = 1;
  while (skip < entry.size() && (static_cast<uint8_t>(entry[skip]) & 0x80) != 0) ++skip;
  ++skip;
  return skip <= entry.size() && out->ParseFromArray(entry.data() + skip, static_cast<int>(entry.size() - skip));
}

}  // namespace

Hub::Hub(const Clock& clock, HubOptions options)
    : clock_(clock), options_(options), incarnation_(HexLower(RandomBytes(8))), cursor_(CursorPrefix(incarnation_)), runs_(options.max_runs) {
  dispatcher_ = std::thread([this] { Dispatch(); });
}

Hub::~Hub() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    work_.SignalAll();
  }
  dispatcher_.join();
}

void Hub::Publish(size_t count, AppendEvent append) {
  if (count == 0) return;
  uint64_t lost = 0;
  auto batch = std::make_shared<Batch>();
  batch->ends.reserve(count);
  MutexLock lock(&publish_mutex_);
  batch->wire.reserve(count * typical_ + 1024);
  batch->first = next_sequence_;
  for (size_t i = 0; i < count; ++i) {
    const size_t start = BeginEntry(&batch->wire);
    batch->wire += cursor_;
    AppendSequence(next_sequence_++, &batch->wire);
    lost += append(i, &batch->wire);
    EndEntry(start, &batch->wire);
    batch->ends.push_back(static_cast<uint32_t>(batch->wire.size()));
  }
  typical_ = batch->wire.size() / count;
  // Still under publish_mutex_: batches reach the ring in the order of their numbers.
  Append(std::move(batch), lost);
}

void Hub::Publish(absl::Span<v1::Event> events) {
  const absl::Time now = clock_.Now();
  Publish(events.size(), [&](size_t i, std::string* out) {
    v1::Event& event = events[i];
    event.clear_cursor();
    if (!event.has_time()) SetTime(now, event.mutable_time());
    event.AppendToString(out);
    return event.missed();
  });
}

void Hub::PublishOne(v1::Event event) { Publish(absl::MakeSpan(&event, 1)); }

uint64_t Hub::Report(absl::string_view gateway, absl::string_view run, uint64_t batch,
                     absl::Span<v1::Event> events) {
  // The length keeps ("a", "bc") and ("ab", "c") apart.
  const std::string key = absl::StrCat(gateway.size(), ":", gateway, run);
  MutexLock lock(&report_mutex_);
  uint64_t* seen = runs_.Find(key);
  if (seen != nullptr && batch <= *seen) return *seen;
  runs_.Put(key, batch);
  for (v1::Event& event : events) event.set_gateway(std::string(gateway));
  Publish(events);
  return batch;
}

void Hub::Append(std::shared_ptr<const Batch> batch, uint64_t lost) {
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
    ring_.pop_front();
  }
  if (armed_.empty()) return;
  firing_.insert(firing_.end(), std::make_move_iterator(armed_.begin()), std::make_move_iterator(armed_.end()));
  armed_.clear();
  if (waiting_) work_.SignalOne();
}

void Hub::Dispatch() {
  for (bool paced = false;;) {
    std::vector<std::shared_ptr<Waker>> wakers;
    {
      MutexLock lock(&mutex_);
      const absl::Time next = absl::Now() + options_.pace;
      while (!stopping_ && paced && absl::Now() < next) work_.WaitFor(&mutex_, next - absl::Now());
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

std::shared_ptr<const Hub::Batch> Hub::At(uint64_t sequence) {
  auto it = std::upper_bound(ring_.begin(), ring_.end(), sequence,
                             [](uint64_t s, const std::shared_ptr<const Batch>& b) { return s < b->next(); });
  return it == ring_.end() ? nullptr : *it;
}

absl::StatusOr<std::unique_ptr<Watcher>> Hub::Watch(const v1::EventFilter& filter, const v1::Cursor* after,
                                                    absl::AnyInvocable<void()> wake) {
  absl::StatusOr<Filter> checked = Filter::Create(filter);
  if (!checked.ok()) return checked.status();
  auto waker = std::make_shared<Waker>();
  {
    MutexLock lock(&waker->mutex);
    waker->wake = std::move(wake);
  }
  MutexLock lock(&mutex_);
  uint64_t next = head_;
  if (after != nullptr) {
    if (after->incarnation() != incarnation_) {
      return absl::OutOfRangeError("after: the cursor is of another incarnation of the hub (it was restarted)");
    }
    if (after->sequence() >= head_) {
      return absl::OutOfRangeError(
          absl::StrCat("after: event ", after->sequence(), " does not exist, the last one is ", head_ - 1));
    }
    if (after->sequence() + 1 < FirstKept()) {
      return absl::OutOfRangeError(absl::StrCat("after: events from ", after->sequence() + 1,
                                                " on are asked for, the oldest one kept is ", FirstKept()));
    }
    next = after->sequence() + 1;
  }
  if (watchers_.size() >= options_.max_watchers) {
    return absl::ResourceExhaustedError(absl::StrCat("there are ", watchers_.size(), " watchers, the most allowed"));
  }
  std::unique_ptr<Watcher> watcher(new Watcher(*this, *std::move(checked), next, std::move(waker)));
  watchers_.insert(watcher.get());
  return watcher;
}

HubStats Hub::stats() const {
  MutexLock lock(&mutex_);
  HubStats stats{head_ - 1, lost_, static_cast<uint32_t>(watchers_.size()), missed_, 0};
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

Watcher::Piece Watcher::Gap(uint64_t missed, uint64_t last_missed) const {
  v1::Event gap;
  gap.set_type(v1::Event::GAP);
  gap.set_outcome(v1::Event::NOTICE);
  gap.set_missed(missed);
  gap.mutable_cursor()->set_incarnation(hub_.incarnation_);
  gap.mutable_cursor()->set_sequence(last_missed);
  gap.set_detail("this watcher was too slow; events it never saw are counted, whether its filter wanted them or not");
  SetTime(hub_.clock_.Now(), gap.mutable_time());
  auto wire = std::make_shared<std::string>();
  const size_t start = BeginEntry(wire.get());
  gap.AppendToString(wire.get());
  EndEntry(start, wire.get());
  return Piece{wire, *wire};
}

Watcher::Taken Watcher::Next(size_t max_events, size_t max_bytes, std::vector<Piece>* out) {
  const Taken taken = Take(max_events, max_bytes, out);
  place_.store(next_, std::memory_order_relaxed);
  return taken;
}

Watcher::Taken Watcher::Take(size_t max_events, size_t max_bytes, std::vector<Piece>* out) {
  Taken taken;
  size_t looked = 0;
  size_t bytes = 0;
  while (taken.events < max_events && bytes < max_bytes && looked < kMaxLooked) {
    std::shared_ptr<const Hub::Batch> batch;
    {
      MutexLock lock(&hub_.mutex_);
      batch = hub_.At(next_);
      if (batch == nullptr) {
        // Nothing now. A caller that has got something comes again anyway.
        if (taken.events == 0) {
          hub_.armed_.push_back(waker_);
        } else {
          taken.more = true;
        }
        return taken;
      }
      if (next_ < batch->first) hub_.missed_ += batch->first - next_;
    }
    if (next_ < batch->first) {
      out->push_back(Gap(batch->first - next_, batch->first - 1));
      bytes += out->back().bytes.size();
      next_ = batch->first;
      ++taken.events;
    }
    // Events that follow one another are one piece.
    bool follows = false;
    for (; next_ < batch->next() && taken.events < max_events && bytes < max_bytes && looked < kMaxLooked;
         ++next_, ++looked) {
      const size_t index = static_cast<size_t>(next_ - batch->first);
      const size_t from = index == 0 ? 0 : batch->ends[index - 1];
      const absl::string_view entry(batch->wire.data() + from, batch->ends[index] - from);
      if (!filter_.empty() && !(ParseWire(entry, &scratch_) && filter_.Matches(scratch_))) {
        follows = false;
        continue;
      }
      if (follows) {
        absl::string_view& piece = out->back().bytes;
        piece = absl::string_view(piece.data(), piece.size() + entry.size());
      } else {
        out->push_back(Piece{batch, entry});
        follows = true;
      }
      bytes += entry.size();
      ++taken.events;
    }
  }
  taken.more = true;
  return taken;
}

}  // namespace gatehouse::hub
