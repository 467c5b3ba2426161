// How a call of the configuration API ends: by its work, by the wait for gateways that follows, or by the caller's
// going away during that wait; exactly once.
//
//   kWorking --work done--> kWaiting --in force, timeout, cancelled--> kEnded
//        `------ nothing to wait for, error -----------------------------^
//
// Ownership:  shared by the reactor and the completions; request and response are the reactor's until kEnded.
// Threading:  thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "control/api/guard.h"
#include "control/api/publisher.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

// Code, message and violations as gRPC's error details (a serialized v1.Violations). Both are cut to what fits into
// the 8 KiB of metadata that clients take by default; what is left out is counted.
grpc::Status RespondStatus(const absl::Status& status);

class Ending : public std::enable_shared_from_this<Ending> {
 public:
  explicit Ending(std::function<void(grpc::Status)> finish) : finish_(std::move(finish)) {}

  // Before anything else: the caller's deadline. A wait ends early enough for the caller to hear that the change was made.
  void SetDeadline(std::chrono::system_clock::time_point deadline) { deadline_ = deadline; }

  void Finish(const absl::Status& status);
  // Finishes when `revision` is in force or the options' time is over, at once if they do not ask for a wait. `slot`
  // lies in the response.
  void FinishInForce(Publisher& publisher, uint64_t revision, const v1::WaitOptions& options,
                     v1::ForceStatus* slot);
  // The caller went away.
  void Cancel();

 private:
  enum class State : uint8_t { kWorking, kWaiting, kEnded };

  const std::function<void(grpc::Status)> finish_;
  std::chrono::system_clock::time_point deadline_ = std::chrono::system_clock::time_point::max();
  Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kWorking;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace gatehouse::api
