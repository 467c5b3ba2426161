#include "gateway/remote/uplink.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "gateway/base/digest.h"
#include "gateway/base/steady.h"
#include "gateway/events/wire.h"
#include "gateway/remote/backoff.h"

namespace gatehouse::remote {

Uplink::Uplink(std::string gateway, ChannelSource channels)
    : gateway_(std::move(gateway)), run_(HexLower(RandomBytes(8))), channels_(std::move(channels)), thread_([this] { Run(); }) {}

Uplink::~Uplink() { Stop(absl::ZeroDuration()); }

void Uplink::Add(events::Batch batch) {
  std::string wire;
  MutexLock lock(&mutex_);
  for (const events::Event* event : batch) {
    if (Full() && !event->must_keep) {
      ++lost_;
      untold_ += 1 + event->dropped_before;  // what it would have told of
      continue;
    }
    wire.clear();
    events::AppendWire(*event, gateway_, &wire);
    waiting_bytes_ += wire.size();
    waiting_.push_back({std::string(wire), std::exchange(untold_, 0)});
  }
  room_.store(!Full(), std::memory_order_relaxed);
  changed_.SignalAll();
}

void Uplink::Stop(absl::Duration grace) {
  const SteadyTime until = SteadyAfter(grace);
  {
    MutexLock lock(&mutex_);
    while (!stopping_ && (delivering_ || !waiting_.empty()) && SteadyNow() < until) changed_.WaitFor(&mutex_, absl::Milliseconds(20));
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.SignalAll();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  MutexLock lock(&mutex_);
  const size_t left = waiting_.size() + static_cast<size_t>(batch_.events_size());
  if (left == 0) return;
  lost_ += left;
  spdlog::warn("{} events were not delivered before the end", left);
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
    const SteadyTime next = SteadyAfter(backoff.Next());
    MutexLock lock(&mutex_);
    while (!stopping_ && SteadyNow() < next) changed_.WaitFor(&mutex_, Until(next));
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
      std::vector<Waiting> taken;
      {
        MutexLock lock(&mutex_);
        delivering_ = true;
        while (!waiting_.empty() && taken.size() < kBatch) {
          waiting_bytes_ -= waiting_.front().wire.size();
          taken.push_back(std::move(waiting_.front()));
          waiting_.pop_front();
        }
        room_.store(!Full(), std::memory_order_relaxed);
      }
      batch_.set_batch(++number_);
      for (const Waiting& next : taken) {
        v1::Event* event = batch_.add_events();
        ABSL_RAW_CHECK(event->ParseFromString(next.wire), "AppendWire writes what protobuf reads");
        event->set_missed(event->missed() + next.untold);
      }
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
