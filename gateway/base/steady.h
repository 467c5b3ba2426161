// SteadyTime is time that nobody sets: waits and the next look at something go by it, whatever becomes of the date.
#pragma once

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"

namespace gatehouse {

using SteadyTime = std::chrono::steady_clock::time_point;

inline SteadyTime SteadyNow() { return std::chrono::steady_clock::now(); }
// At most a year from now.
inline SteadyTime SteadyAfter(absl::Duration d) { return SteadyNow() + absl::ToChronoNanoseconds(std::min(d, absl::Hours(24 * 365))); }
// How long ago it was.
inline absl::Duration Since(SteadyTime time) { return absl::FromChrono(SteadyNow() - time); }
// How long until then; not positive when it has come.
inline absl::Duration Until(SteadyTime time) { return absl::FromChrono(time - SteadyNow()); }

}  // namespace gatehouse
