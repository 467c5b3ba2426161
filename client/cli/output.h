// Files that commands write.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace gatehouse::cli {

struct OutputFile {
  std::string path;
  absl::string_view content;  // of the caller
  bool secret = false;
};

// WriteFiles writes all of them or none: what there was before is back when one of them fails. Mode 600 for a secret; with
// an existing file nothing is written unless `force`.
absl::Status WriteFiles(const std::vector<OutputFile>& files, bool force);
// WriteFile is WriteFiles for one.
absl::Status WriteFile(const std::string& path, absl::string_view content, bool secret, bool force);

}  // namespace gatehouse::cli
