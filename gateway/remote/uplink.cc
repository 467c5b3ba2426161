#include "gateway/remote/uplink.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "gateway/base/digest.h"
#include "gateway/events/wire.h"
#include "gateway/remote/backoff.h"

namespace gatehouse::remote {

Uplink::Uplink(std::string gateway, ChannelSource channels)
    : gateway_(std::move(gateway)), run_(HexLower(RandomBytes(8))), channels_(std::move(channels)), thread_([this] { Run(); }) {}

Uplink::~Uplink() { Stop(absl::ZeroDuration()); }

void Uplink::Add(events::Batch batch) {
  MutexLock lock(&mutex_);
  for (const events::Event* event : batch) {
    if (waiting_.size() >= kMostWaiting && !event->must_keep) {
      const uint64_t lost = 1 + event->dropped_before;  // what it would have told of
      lost_ += lost;
      untold_ += lost;
      continue;
    }
    v1::Event& to = waiting_.emplace_back();
    events::ToProto(*event, &to);
    to.set_gateway(gateway_);
    if (untold_ != 0) to.set_missed(to.missed() + std::exchange(untold_, 0));
  }
  room_.store(waiting_.size() < kMostWaiting, std::memory_order_relaxed);
  changed_.SignalAll();
}

void Uplink::Stop(absl::Duration grace) {
  const absl::Time until = absl::Now() + grace;
  {
    MutexLock lock(&mutex_);
    while (!stopping_ && (delivering_ || !waiting_.empty()) && absl::Now() < until) changed_.WaitFor(&mutex_, absl::Milliseconds(20));
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

uint64_t Uplink::lost() const {
  MutexLock lock(&mutex_);
  return lost_;
}

bool Uplink::WaitForWork() {
  MutexLock lock(&mutex_);
  while (!stopping_ && waiting_.empty()) changed_.Wait(&mutex_);
  return !stopping_;
}

void Uplink::Run() {
  Backoff backoff;
  while (batch_.events_size() != 0 ? true : WaitForWork()) {
    {
      MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    std::shared_ptr<grpc::Channel> channel = channels_();
    if (channel != nullptr && Serve(channel)) backoff.Reset();
    // New events signal too; they do not shorten the wait.
    const absl::Time next = absl::Now() + backoff.Next();
    MutexLock lock(&mutex_);
    while (!stopping_ && absl::Now() < next) changed_.WaitFor(&mutex_, next - absl::Now());
    if (stopping_) return;
  }
}

bool Uplink::Serve(const std::shared_ptr<grpc::Channel>& channel) {
  std::unique_ptr<v1::EventService::Stub> stub = v1::EventService::NewStub(channel);
  grpc::ClientContext context;
  {
    MutexLock lock(&mutex_);
    if (stopping_) return false;
    context_ = &context;
  }
  auto stream = stub->Report(&context);
  bool delivered = false;
  for (;;) {
    if (batch_.events_size() == 0) {
      if (!WaitForWork()) break;
      MutexLock lock(&mutex_);
      delivering_ = true;
      batch_.set_batch(++number_);
      while (!waiting_.empty() && batch_.events_size() < static_cast<int>(kBatch)) {
        *batch_.add_events() = std::move(waiting_.front());
        waiting_.pop_front();
      }
      room_.store(waiting_.size() < kMostWaiting, std::memory_order_relaxed);
    }
    batch_.set_gateway(gateway_);
    batch_.set_run(run_);
    if (!stream->Write(batch_)) break;
    v1::ReportResponse answer;
    do {
      if (!stream->Read(&answer)) {
        answer.set_batch(0);
        break;
      }
    } while (answer.batch() < batch_.batch());
    if (answer.batch() < batch_.batch()) break;
    batch_.Clear();
    delivered = true;
    MutexLock lock(&mutex_);
    delivering_ = false;
    changed_.SignalAll();
  }
  context.TryCancel();
  stream->Finish();
  MutexLock lock(&mutex_);
  context_ = nullptr;
  return delivered;
}

}  // namespace gatehouse::remote
