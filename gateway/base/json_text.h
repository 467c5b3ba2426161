// SafeJson makes JSON fit for terminals and logs: what printers of JSON leave raw in strings, and terminals act on (DEL, C1,
// bidi controls, line separators), becomes \uXXXX.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse {

// `json` is valid JSON, so that characters beyond ASCII stand in strings only.
std::string SafeJson(absl::string_view json);

}  // namespace gatehouse
