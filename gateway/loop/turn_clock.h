// TurnClock is another clock as of the loop's turn, read once in each: what is decided in one turn is decided at one time.
//
// Threading: the loop's thread, unlike other clocks.
#pragma once

#include "gateway/base/clock.h"
#include "gateway/loop/loop.h"

namespace gatehouse::loop {

class TurnClock final : public Clock {
 public:
  // REQUIRES: both outlive this.
  TurnClock(const Loop& loop, const Clock& clock) : loop_(loop), clock_(clock), turn_(loop.now()), now_(clock.Now()) {}
  absl::Time Now() const override {
    if (turn_ != loop_.now()) Renew();
    return now_;
  }
  // Renew reads the clock again within the turn: for what takes long, and decides.
  void Renew() const {
    turn_ = loop_.now();
    now_ = clock_.Now();
  }

 private:
  const Loop& loop_;
  const Clock& clock_;
  mutable Instant turn_;
  mutable absl::Time now_;
};

}  // namespace gatehouse::loop
