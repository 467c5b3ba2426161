// RevocationWait is the time that a verdict gets for its answers: from the first time it was found indeterminate until one
// comes that decides, nobody is left to be asked, or the scheme's `revocation.timeout` has passed.
//
//   kAsking --half of the time gone--> kAskingAll --the rest gone, nobody to ask--> kOver
//
// kAsking     for each certificate one source is asked, the next when it fails
// kAskingAll  all are
// kOver       what is not known is unknown: the scheme's `on_unknown` decides (Judge::WithoutAsking)
//
// Ownership:  owned by who waits; may be cancelled, but not destroyed, inside `changed`.
// Threading:  the worker's loop only.
// Errors:     none.
#pragma once

#include "absl/functional/any_invocable.h"
#include "gateway/loop/loop.h"
#include "gateway/server/peer.h"
#include "gateway/server/revocation_desk.h"

namespace gatehouse::server {

class RevocationWait {
 public:
  // `changed` runs on the loop, never inside Continue: it is time to judge again.
  RevocationWait(loop::Loop* loop, RevocationDesk* desk, absl::AnyInvocable<void()> changed);

  // Continue asks what `verdict` (indeterminate) would have asked. False: it is over.
  bool Continue(const certs::Verdict& verdict, const certs::SchemeOptions& options);
  // Cancel ends it; `changed` runs no more.
  void Cancel();

 private:
  enum class State : uint8_t { kAsking, kAskingAll, kOver };
  void OnTime();

  loop::Loop* const loop_;
  RevocationDesk* const desk_;
  absl::AnyInvocable<void()> changed_;
  State state_ = State::kAsking;
  absl::Duration half_ = absl::ZeroDuration();  // zero: not begun
  RevocationDesk::Ticket ticket_;
  loop::Timer timer_;
};

}  // namespace gatehouse::server
