#include "gateway/base/executor.h"

#include <utility>

namespace gatehouse {

Executor::Executor(int threads, size_t max_queued) : max_queued_(max_queued) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

Executor::~Executor() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    queue_.clear();
  }
  ready_.SignalAll();
  for (std::thread& t : threads_) t.join();
}

bool Executor::Submit(absl::AnyInvocable<void()> work) {
  {
    MutexLock lock(&mutex_);
    if (stopping_ || queue_.size() >= max_queued_) return false;
    queue_.push_back(std::move(work));
  }
  ready_.SignalOne();
  return true;
}

size_t Executor::queued() const {
  MutexLock lock(&mutex_);
  return queue_.size();
}

void Executor::Run() {
  for (;;) {
    absl::AnyInvocable<void()> work;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty() && !stopping_) ready_.Wait(&mutex_);
      if (stopping_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace gatehouse
