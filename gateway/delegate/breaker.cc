#include "gateway/delegate/breaker.h"

namespace gatehouse::delegate {

void CircuitBreaker::Enter(State state) {
  state_ = state;
  ++generation_;
  in_a_row_ = 0;
}

absl::Duration CircuitBreaker::Left(absl::Time now) const {
  if (state_ != State::kOpen || now < opened_ || now >= opened_ + open_for_) return absl::ZeroDuration();
  return opened_ + open_for_ - now;
}

std::optional<uint64_t> CircuitBreaker::Admit(absl::Time now) {
  switch (state_) {
    case State::kClosed: return generation_;
    case State::kHalfOpen: return std::nullopt;
    case State::kOpen: break;
  }
  if (Left(now) > absl::ZeroDuration()) return std::nullopt;
  Enter(State::kHalfOpen);
  return generation_;
}

CircuitBreaker::Change CircuitBreaker::Answered(uint64_t call) {
  if (call != generation_) return Change::kNone;
  in_a_row_ = 0;
  if (state_ != State::kHalfOpen) return Change::kNone;
  Enter(State::kClosed);
  return Change::kClosed;
}

CircuitBreaker::Change CircuitBreaker::Unanswered(uint64_t call, absl::Time now) {
  if (call != generation_ || (state_ == State::kClosed && ++in_a_row_ < failures_)) return Change::kNone;
  const bool was_closed = state_ == State::kClosed;
  Enter(State::kOpen);
  opened_ = now;
  return was_closed ? Change::kOpened : Change::kNone;
}

}  // namespace gatehouse::delegate
