// Suggest finds the name that somebody meant.
//
// Threading:  pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace gatehouse::config {

// Number of insertions, deletions, substitutions and swaps of neighbours, without regard to ASCII case; `limit + 1` when
// it is over `limit`.
size_t EditDistance(absl::string_view a, absl::string_view b, size_t limit);

// `; did you mean "Basic"?` when one of `names` is near, else "".
std::string DidYouMean(absl::string_view name, absl::Span<const absl::string_view> names);

}  // namespace gatehouse::config
