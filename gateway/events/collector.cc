#include "gateway/events/collector.h"

#include <algorithm>
#include <utility>

namespace gatehouse::events {

Collector::Collector(std::vector<Recorder*> recorders, const Clock& clock, Sink sink, CollectorOptions options)
    : recorders_(std::move(recorders)), clock_(clock), options_(options), sink_(std::move(sink)), peeked_(recorders_.size()) {}

Collector::~Collector() { Stop(); }

void Collector::Start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void Collector::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.SignalAll();
  if (thread_.joinable()) thread_.join();
  while (DrainOnce() != 0) {
  }
}

void Collector::Run() {
  for (size_t gathered = 0;;) {
    const size_t n = DrainOnce();
    gathered += n;
    MutexLock lock(&mutex_);
    if (stopping_) return;
    if (n >= options_.max_batch) continue;  // there is more
    wake_.WaitFor(&mutex_, PauseAfter(gathered));
    if (stopping_) return;
    gathered = 0;
  }
}

absl::Duration Collector::PauseAfter(size_t gathered) const {
  return gathered >= options_.max_batch / 8 ? options_.busy_period : options_.period;
}

size_t Collector::DrainOnce() {
  MutexLock drain(&drain_mutex_);
  std::vector<Event> added;
  {
    MutexLock lock(&mutex_);
    added.swap(added_);
  }
  batch_.clear();
  for (Event& event : added) batch_.push_back(&event);
  for (size_t i = 0; i < recorders_.size(); ++i) peeked_[i] = recorders_[i]->Peek(options_.max_batch, &batch_);
  if (batch_.empty()) return 0;
  // One busy worker's events are in order already.
  const auto earlier = [](const Event* a, const Event* b) { return a->time < b->time; };
  if (!std::is_sorted(batch_.begin(), batch_.end(), earlier)) std::stable_sort(batch_.begin(), batch_.end(), earlier);
  for (Event* event : batch_) event->sequence = next_sequence_++;
  sink_(Batch(batch_.data(), batch_.size()));
  for (size_t i = 0; i < recorders_.size(); ++i) recorders_[i]->Release(peeked_[i]);
  return batch_.size();
}

void Collector::Add(Event event) {
  if (event.time == absl::UnixEpoch()) event.time = clock_.Now();
  MutexLock lock(&mutex_);
  if (added_.size() >= options_.max_added) {
    ++lost_since_last_;
    ++added_dropped_;
    return;
  }
  event.dropped_before += std::exchange(lost_since_last_, 0);
  added_.push_back(std::move(event));
}

int64_t Collector::dropped() const {
  int64_t n = 0;
  for (const Recorder* recorder : recorders_) n += recorder->dropped();
  MutexLock lock(&mutex_);
  return n + added_dropped_;
}

}  // namespace gatehouse::events
