#include "client/lib/event_stream.h"

#include <utility>

#include "client/lib/status.h"

namespace gatehouse::client {

void EventStream::Start(v1::EventService::Stub& stub, grpc::ClientContext& context,
                        const v1::WatchRequest& request) {
  stub.async()->Watch(&context, &request, this);
  {
    MutexLock lock(&mutex_);
    reading_ = true;
  }
  // Reads are started outside of gRPC's callbacks: without a hold the call could be gone by then.
  AddHold();
  StartRead(&response_);
  StartCall();
}

bool EventStream::AwaitSubscribed(absl::Duration timeout) {
  const absl::Time until = absl::Now() + timeout;
  bool subscribed = false;
  {
    MutexLock lock(&mutex_);
    while (!metadata_known_ && !done_) {
      if (timeout == absl::InfiniteDuration()) {
        changed_.Wait(&mutex_);
      } else if (absl::Now() >= until) {
        return false;
      } else {
        changed_.WaitFor(&mutex_, until - absl::Now());
      }
    }
    subscribed = subscribed_;
  }
  if (subscribed) on_subscribed_();
  return true;
}

std::optional<v1::WatchResponse> EventStream::Next() {
  bool over = false;
  {
    MutexLock lock(&mutex_);
    while (reading_) changed_.Wait(&mutex_);
    over = !read_ok_;
    reading_ = !over;
  }
  if (over) {
    RemoveHold();
    return std::nullopt;
  }
  std::optional<v1::WatchResponse> response(std::move(response_));
  response_.Clear();
  StartRead(&response_);
  return response;
}

absl::Status EventStream::Finish() {
  MutexLock lock(&mutex_);
  while (!done_) changed_.Wait(&mutex_);
  return FromGrpc(status_);
}

void EventStream::OnReadInitialMetadataDone(bool ok) {
  MutexLock lock(&mutex_);
  metadata_known_ = true;
  subscribed_ = ok;
  changed_.SignalAll();
}

void EventStream::OnReadDone(bool ok) {
  MutexLock lock(&mutex_);
  reading_ = false;
  read_ok_ = ok;
  changed_.SignalAll();
}

void EventStream::OnDone(const grpc::Status& status) {
  MutexLock lock(&mutex_);
  done_ = true;
  status_ = status;
  changed_.SignalAll();
}

}  // namespace gatehouse::client
