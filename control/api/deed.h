// Deed is one call that writes, from the guard's yes to its end. It decides whether the write may still be made, and sees to it
// that the call is told of once, as made or as refused, however it ends.
//
//   kOpen --Begin--> kBegun                              what it writes is written, and nothing cuts the call any more
//     `----Stop; Begin of who is gone, late or has lost the right--> kStopped    nothing is written
//
// Ownership:  shared by the call's record and by those who work for it. `alive` looks at the call's context: Begin and End are for
//             who has not ended the call yet.
// Threading:  thread-safe.
// Errors:     Begin: DEADLINE_EXCEEDED, CANCELLED, and the guard's; nothing was changed.
#pragma once

#include <functional>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "control/api/guard.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

// OK, or why the caller of a call that writes does not get its answer any more. A write that would end too close to the deadline
// counts as late: the caller could not hear that it was made.
absl::Status StillWanted(const grpc::CallbackServerContext& context);

class Deed {
 public:
  // `refused` hears why, at most once, if the call ends badly and nobody told of it.
  Deed(std::function<absl::Status()> alive, std::function<void(const absl::Status&)> refused)
      : alive_(std::move(alive)), refused_(std::move(refused)) {}

  // Asked right before the write is committed.
  absl::Status Begin();
  // False: it has begun.
  bool Stop(const absl::Status& why);
  // Whether nobody told of it before.
  bool Tell();
  // The call's status is on the way. Who has begun and hears that the caller went away tells what comes of it himself.
  void End(const absl::Status& status);

 private:
  enum class State : uint8_t { kOpen, kBegun, kStopped };

  const std::function<absl::Status()> alive_;
  const std::function<void(const absl::Status&)> refused_;
  Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kOpen;
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
};

// Of a caller's call; OK if nobody watches over it (tests).
absl::Status Begin(const Caller& by);

}  // namespace gatehouse::api
