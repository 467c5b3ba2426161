// Backoff is how long to wait before the next try: doubling from 100 ms to 10 s, each time somewhere between half and the
// whole, so that a hundred gateways do not come back at once.
//
// Threading: thread-compatible.
#pragma once

#include <algorithm>

#include "absl/time/time.h"
#include "gateway/base/digest.h"

namespace gatehouse::remote {

class Backoff {
 public:
  absl::Duration Next() {
    absl::Duration whole = next_;
    next_ = std::min(next_ * 2, absl::Seconds(10));
    std::string random = RandomBytes(1);
    return whole / 2 + whole / 2 * (static_cast<unsigned char>(random[0]) / 255.0);
  }
  void Reset() { next_ = absl::Milliseconds(100); }

 private:
  absl::Duration next_ = absl::Milliseconds(100);
};

}  // namespace gatehouse::remote
