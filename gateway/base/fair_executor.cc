#include "gateway/base/fair_executor.h"

#include <algorithm>

#include "gateway/base/steady.h"

namespace gatehouse {

FairExecutor::FairExecutor(int threads, size_t max_queued, std::function<void()> on_thread, int most_of_one)
    : max_queued_(max_queued), on_thread_(std::move(on_thread)), most_of_one_(most_of_one) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

FairExecutor::~FairExecutor() { Stop(); }

void FairExecutor::Stop() {
  Queues dropped;  // destroyed without the lock
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    by_key_.clear();
    by_size_.clear();
    queued_ = 0;
    dropped.swap(turns_);
  }
  ready_.SignalAll();
  for (std::thread& t : threads_) {
    if (t.joinable()) t.join();
  }
}

bool FairExecutor::Submit(absl::string_view key, Work work) {
  Work displaced;
  {
    MutexLock lock(&mutex_);
    if (stopping_) return false;
    auto own = by_key_.find(key);
    if (queued_ >= max_queued_) {
      const size_t waiting = own == by_key_.end() ? 0 : own->second->work.size();
      const auto [longest, victim] = *by_size_.rbegin();
      ++turned_away_;
      // A swap that would not make the queues more even is none.
      if (longest <= waiting + 1) return false;
      displaced = std::move(victim->work.back());
      victim->work.pop_back();
      Resize(victim, longest);
      --queued_;
    }
    if (own == by_key_.end()) {
      // Behind those who wait already.
      turns_.push_back({std::string(key), {}});
      own = by_key_.emplace(key, std::prev(turns_.end())).first;
    }
    Queue& queue = *own->second;
    queue.work.push_back(std::move(work));
    Resize(&queue, queue.work.size() - 1);
    ++queued_;
  }
  ready_.SignalOne();
  if (displaced) displaced(Fate::kDropped);
  return true;
}

size_t FairExecutor::queued() const {
  MutexLock lock(&mutex_);
  return queued_;
}

uint64_t FairExecutor::turned_away() const {
  MutexLock lock(&mutex_);
  return turned_away_;
}

absl::Duration FairExecutor::ExpectedWait() const {
  MutexLock lock(&mutex_);
  return usual_ * static_cast<int64_t>(queued_) / static_cast<int64_t>(threads_.size());
}

void FairExecutor::Resize(Queue* queue, size_t before) {
  if (before > 0) by_size_.erase({before, queue});
  if (!queue->work.empty()) by_size_.insert({queue->work.size(), queue});
}

FairExecutor::Queues::iterator FairExecutor::Next() {
  return std::find_if(turns_.begin(), turns_.end(), [this](const Queue& queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    auto it = running_.find(queue.key);
    return it == running_.end() || it->second < most_of_one_;
  });
}

FairExecutor::Work FairExecutor::TakeFrom(Queues::iterator turn) {
  Queue& queue = *turn;
  Work work = std::move(queue.work.front());
  queue.work.pop_front();
  Resize(&queue, queue.work.size() + 1);
  --queued_;
  if (queue.work.empty()) {
    by_key_.erase(queue.key);
    turns_.erase(turn);
  } else {
    turns_.splice(turns_.end(), turns_, turn);
  }
  return work;
}

void FairExecutor::Run() {
  if (on_thread_) on_thread_();
  for (;;) {
    Work work;
    std::string key;
    {
      MutexLock lock(&mutex_);
      auto turn = Next();
      for (; turn == turns_.end() && !stopping_; turn = Next()) ready_.Wait(&mutex_);
      if (stopping_) return;
      key = turn->key;
      ++running_[key];
      work = TakeFrom(turn);
    }
    const SteadyTime begun = SteadyNow();
    work(Fate::kRun);
    work = nullptr;
    const absl::Duration took = Since(begun);
    MutexLock lock(&mutex_);
    if (auto it = running_.find(key); --it->second == 0) running_.erase(it);
    usual_ = usual_ == absl::ZeroDuration() ? took : (usual_ * 7 + took) / 8;
  }
}

}  // namespace gatehouse
