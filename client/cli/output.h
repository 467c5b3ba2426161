// Files that commands write.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace gatehouse::cli {

// WriteFile writes all of it or nothing; mode 600 for a secret; an existing file is left alone unless `force`.
absl::Status WriteFile(const std::string& path, absl::string_view content, bool secret, bool force);

}  // namespace gatehouse::cli
