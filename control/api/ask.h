// AskReactor is a call that a gateway's answer ends, or the caller's cancellation, whichever is first.
//
// Ownership:  the reactor deletes itself; completions share its slot, and find it detached when they come second.
// Threading:  thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/api/guard.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

template <typename Response>
class AskReactor final : public grpc::ServerUnaryReactor {
 public:
  struct Slot {
    Mutex mutex;
    AskReactor* reactor ABSL_GUARDED_BY(mutex) = nullptr;  // null: ended
  };

  explicit AskReactor(Response* response) : response_(response), slot_(std::make_shared<Slot>()) {
    MutexLock lock(&slot_->mutex);
    slot_->reactor = this;
  }
  const std::shared_ptr<Slot>& slot() const { return slot_; }

  static void End(Slot& slot, absl::StatusOr<Response> answer) {
    MutexLock lock(&slot.mutex);
    AskReactor* reactor = std::exchange(slot.reactor, nullptr);
    if (reactor == nullptr) return;
    const absl::Status status = answer.status();
    if (status.ok()) *reactor->response_ = *std::move(answer);
    reactor->Finish(ToGrpc(status));
  }
  void OnCancel() override {
    const std::shared_ptr<Slot> slot = slot_;
    End(*slot, absl::CancelledError("cancelled"));
  }
  void OnDone() override { delete this; }

 private:
  Response* const response_;
  const std::shared_ptr<Slot> slot_;
};

// How long a gateway may take to answer.
inline absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  constexpr absl::Duration kMaxWait = absl::Seconds(30);
  return std::min(kMaxWait, absl::FromChrono(context.deadline() - std::chrono::system_clock::now()));
}

}  // namespace gatehouse::api
