// SnapshotFile keeps a gateway's last good configuration on disk, sealed, so that it can start when no control plane
// answers.
//
// Threading:  thread-compatible.
// Errors:     Load: NOT_FOUND (there is none), DATA_LOSS (damaged, cut short, sealed with another key),
//             FAILED_PRECONDITION (the key file is readable by others). Nothing of a damaged file is used.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "gateway/base/sealed_file.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::remote {

struct SavedSnapshot {
  uint64_t revision = 0;
  std::string incarnation;
  v1::ConfigSet set;
};

class SnapshotFile {
 public:
  // `folder` is made (0700) when absent; it holds snapshot.sealed and, unless `key_file` names another, snapshot.key.
  static absl::StatusOr<SnapshotFile> Open(const std::string& folder, const std::string& key_file = "");

  absl::StatusOr<SavedSnapshot> Load() const;
  absl::Status Save(const SavedSnapshot& snapshot) const;
  // Drop removes the file: what it holds must not be trusted after a restart.
  void Drop() const;

 private:
  explicit SnapshotFile(SealedFile file) : file_(std::move(file)) {}
  SealedFile file_;
};

}  // namespace gatehouse::remote
