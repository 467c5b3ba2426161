// CircuitBreaker stops asking an endpoint that does not answer, so that nobody waits for it.
//
//   kClosed --`failures` calls in a row unanswered--> kOpen --`open_for` is over, Admit--> kHalfOpen
//      ^                                                ^ `-- unanswered ---------------------'  |
//      `------------------------------------ answered ------------------------------------------'
//
// kClosed    every call goes out
// kOpen      none does
// kHalfOpen  one is out; its outcome decides
//
// The outcome of a call that went out in an earlier state says nothing about this one, and is not counted.
//
// Threading:  thread-compatible.
// Units:      wall-clock times; a clock that is set back ends kOpen rather than prolongs it.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace gatehouse::delegate {

class CircuitBreaker {
 public:
  enum class State : uint8_t { kClosed, kOpen, kHalfOpen };
  enum class Change : uint8_t { kNone, kOpened, kClosed };

  // REQUIRES: failures > 0.
  CircuitBreaker(uint32_t failures, absl::Duration open_for) : failures_(failures), open_for_(open_for) {}

  // A call that may go out; null: none may. Exactly one of Answered and Unanswered follows.
  std::optional<uint64_t> Admit(absl::Time now);
  Change Answered(uint64_t call);
  Change Unanswered(uint64_t call, absl::Time now);

  State state() const { return state_; }
  // How long kOpen lasts yet; zero in other states.
  absl::Duration Left(absl::Time now) const;

 private:
  void Enter(State state);

  const uint32_t failures_;
  const absl::Duration open_for_;
  State state_ = State::kClosed;
  uint64_t generation_ = 0;  // of the state
  uint32_t in_a_row_ = 0;
  absl::Time opened_ = absl::InfinitePast();
};

}  // namespace gatehouse::delegate
