// SealedFile is a value on disk that only we can read and nobody can change unseen. Whole or not at all: written beside,
// synced, renamed.
//
// Ownership:  owns its key.
// Threading:  thread-compatible; Load and Save by one thread at a time.
// Errors:     Load: NOT_FOUND (there is none), DATA_LOSS (damaged, cut short, sealed with another key or for another
//             place), UNAVAILABLE. Save: UNAVAILABLE naming the file; what was there before stays then, or the error says
//             that the new value may be there after a restart.
#pragma once

#include <unistd.h>

#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/secret_box.h"

namespace gatehouse {

class SealedFile {
 public:
  // Brings a file or a folder to the disk; 0, or -1 and errno. fsync, but for tests.
  using Sync = std::function<int(int fd)>;

  // `place` is bound to the seal: no other sealed value passes for this one. The file's folder exists.
  SealedFile(std::string path, std::string place, SecretBox box, Sync sync = fsync)
      : path_(std::move(path)), place_(std::move(place)), box_(std::move(box)), sync_(std::move(sync)) {}

  absl::StatusOr<std::string> Load() const;
  absl::Status Save(absl::string_view plain) const;
  // Drop removes it: what it holds must not be trusted after a restart.
  void Drop() const;
  // PutAside renames a damaged one, so that it can be looked at, and returns its new name.
  std::string PutAside() const;

  const std::string& path() const { return path_; }

 private:
  absl::Status Write(const std::string& path, absl::string_view octets) const;

  std::string path_, place_;
  SecretBox box_;
  Sync sync_;
};

}  // namespace gatehouse
