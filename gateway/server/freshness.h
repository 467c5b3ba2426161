// When what was fetched is to be asked for again, and until when it need not be.
//
// Threading: pure.
#pragma once

#include <algorithm>
#include <optional>

#include "absl/time/time.h"

namespace gatehouse::server {

// An answer that promises no successor is believed for so long.
inline constexpr absl::Duration kNoNextUpdate = absl::Minutes(5);

// Until when an answer of `made` that came at `received` need not be asked for again: not longer than it is believed.
inline absl::Time FreshUntil(absl::Time made, absl::Time received, std::optional<absl::Time> next_update,
                             absl::Duration max_age) {
  return std::min(received + max_age, next_update.value_or(std::min(made, received) + kNoNextUpdate));
}

// What came later than now came before the clock was set back: how old it is cannot be told.
inline bool IsOfTheFuture(absl::Time received, absl::Time now) { return received > now + absl::Minutes(5); }

// When one in use is asked for ahead of that: after three quarters of the time.
inline absl::Time RefreshAt(absl::Time received, absl::Time fresh_until) {
  return received + (fresh_until - received) * 0.75;
}

}  // namespace gatehouse::server
