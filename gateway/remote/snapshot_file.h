// SnapshotFile keeps a gateway's last good configuration on disk, sealed, so that it can start when no control plane
// answers: the whole of it, and beside it what changed since, so that one changed resource among many costs one. Besides, when it
// was last known to be the newest.
//
// Threading:  thread-compatible.
// Errors:     Load: NOT_FOUND (there is none), DATA_LOSS (damaged, cut short, sealed with another key),
//             FAILED_PRECONDITION (the key file is readable by others). Nothing of a damaged file is used. An addition that a crash
//             cut short was never told to anybody as in force, and is passed over.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/sealed_file.h"
#include "gateway/base/sealed_log.h"
#include "gateway/config/build_resource_map.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::remote {

struct SavedSnapshot {
  uint64_t revision = 0;
  std::string incarnation;
  config::ResourceMap resources;
};

class SnapshotFile {
 public:
  // `folder` is made (0700) when absent; it holds snapshot.sealed and, unless `key_file` names another, snapshot.key.
  static absl::StatusOr<SnapshotFile> Open(const std::string& folder, const std::string& key_file = "");

  absl::StatusOr<SavedSnapshot> Load() const;
  absl::Status Save(const SavedSnapshot& snapshot);
  // SaveChange saves `snapshot`, which `delta` made of the one that was saved before: by the delta alone as long as those on disk
  // stay small beside the whole.
  absl::Status SaveChange(const SavedSnapshot& snapshot, const v1::Delta& delta);
  // Drop removes it all: what it holds must not be trusted after a restart.
  void Drop();

  // When what is saved was last known to be the newest; nullopt: nobody knows.
  std::optional<absl::Time> LoadConfirmed() const;
  void SaveConfirmed(absl::Time time) const;

 private:
  SnapshotFile(SealedFile whole, SealedLog changes, SealedFile confirmed)
      : whole_(std::move(whole)), changes_(std::move(changes)), confirmed_(std::move(confirmed)) {}
  SealedFile whole_;
  SealedLog changes_;
  SealedFile confirmed_;
  uint64_t whole_bytes_ = 0;  // of the one that this process saved; 0: it saved none
  uint64_t saved_revision_ = 0;  // with the changes behind it
  std::string saved_incarnation_;
};

}  // namespace gatehouse::remote
