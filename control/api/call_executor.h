// CallExecutor is where calls of the API do what blocks: a few threads, and everybody who calls has the same share of them. Accounts
// take turns; none of them has all the threads at once, however long its calls take; and when there is no more room, the account
// that has most waiting gives way (FairExecutor).
//
// Ownership:  owns its threads; the destructor stops it.
// Threading:  thread-safe. What gets no turn is told so on the thread of a Submit, its own or another's.
#pragma once

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "control/api/guard.h"
#include "gateway/base/fair_executor.h"

namespace gatehouse::api {

class CallExecutor {
 public:
  // Called once, with the caller and the roles that he has by then; or with why the call is not made: RESOURCE_EXHAUSTED, or what
  // the guard would say now.
  using Work = absl::AnyInvocable<void(absl::StatusOr<Caller> by)>;

  // REQUIRES: threads > 1, max_queued > 0.
  CallExecutor(int threads, size_t max_queued) : executor_(threads, max_queued, {}, threads - 1) {}

  void Submit(const Caller& by, Work work);
  // Stop drops what is queued, uncalled, and waits for what runs: a call may have ended for its caller before that. Idempotent.
  void Stop() { executor_.Stop(); }

  size_t queued() const { return executor_.queued(); }

 private:
  FairExecutor executor_;
};

}  // namespace gatehouse::api
