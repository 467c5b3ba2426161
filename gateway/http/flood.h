// TokenBucket counts what costs us more than it costs the client: `burst` at once, `per_second` in the long run.
//
// Threading: one thread.
#pragma once

#include <algorithm>

#include "gateway/loop/instant.h"

namespace gatehouse::http {

class TokenBucket {
 public:
  TokenBucket(double burst, double per_second) : burst_(burst), per_second_(per_second), tokens_(burst) {}

  // Take is false when the bucket is empty: the limit is exceeded.
  bool Take(loop::Instant now) {
    if (last_.nanos != 0 && now > last_) {
      double seconds = static_cast<double>(now.nanos - last_.nanos) * 1e-9;
      tokens_ = std::min(burst_, tokens_ + seconds * per_second_);
    }
    last_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  void GiveBack() { tokens_ = std::min(burst_, tokens_ + 1); }

 private:
  double burst_;
  double per_second_;
  double tokens_;
  loop::Instant last_;
};

}  // namespace gatehouse::http
