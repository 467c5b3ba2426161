#include "control/api/deed.h"

#include <chrono>

namespace gatehouse::api {
namespace {

// For a commit and an answer.
constexpr std::chrono::milliseconds kAnswer{20};

}  // namespace

absl::Status StillWanted(const grpc::CallbackServerContext& context) {
  if (context.deadline() - kAnswer <= std::chrono::system_clock::now()) {
    return absl::DeadlineExceededError("the call's deadline came before it was written; nothing was changed");
  }
  if (context.IsCancelled()) return absl::CancelledError("the caller went away before it was written; nothing was changed");
  return absl::OkStatus();
}

absl::Status Deed::Begin() {
  MutexLock lock(&mutex_);
  if (state_ == State::kOpen) {
    stopped_ = alive_();
    state_ = stopped_.ok() ? State::kBegun : State::kStopped;
  }
  return stopped_;
}

bool Deed::Stop(const absl::Status& why) {
  MutexLock lock(&mutex_);
  if (state_ == State::kBegun) return false;
  if (state_ == State::kOpen) stopped_ = why;
  state_ = State::kStopped;
  return true;
}

bool Deed::Tell() {
  MutexLock lock(&mutex_);
  return !std::exchange(told_, true);
}

void Deed::End(const absl::Status& status) {
  if (status.ok()) return;
  absl::Status why = status;
  {
    MutexLock lock(&mutex_);
    if (state_ == State::kBegun && absl::IsCancelled(status)) return;
    if (state_ == State::kStopped) why = stopped_;
    if (std::exchange(told_, true)) return;
  }
  refused_(why);
}

absl::Status Begin(const Caller& by) { return by.deed == nullptr ? absl::OkStatus() : by.deed->Begin(); }

}  // namespace gatehouse::api
