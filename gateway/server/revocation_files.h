// RevocationFiles keeps what was fetched in a directory, so that it survives a restart and OFFLINE has something to go by.
//
// Nothing read back is believed: whoever loads checks every signature anew, as if it had just been fetched. The files
// only say what to check it against.
//
// Ownership:  the directory is made 0700, files 0600; a file is replaced by rename. What was written last stays when the
//             bound is reached. Files that are none of ours are let be.
// Threading:  thread-safe; calls block on the disk: not on a worker's loop.
// Units:      octets; at most 10,000 files.
// Errors:     Open: kFailedPrecondition, kUnavailable naming the directory. A file of ours that cannot be read is removed;
//             one that cannot be written is left out, and the status says why.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"
#include "gateway/certs/revocation.h"

namespace gatehouse::server {

struct StoredAnswer {
  certs::Inquiry inquiry;
  std::string series;  // answers to one inquiry that do not replace each other differ in it
  absl::Time received;
  std::string der;
};

class RevocationFiles {
 public:
  static absl::StatusOr<std::unique_ptr<RevocationFiles>> Open(const std::string& directory, size_t max_bytes);

  // Load reads every file, the newest first.
  std::vector<StoredAnswer> Load();
  absl::Status Save(const StoredAnswer& answer);
  // Renew says that the same answer came again.
  void Renew(const certs::Inquiry& inquiry, absl::string_view series, absl::Time received);
  void Remove(const StoredAnswer& answer);
  size_t bytes() const;

 private:
  struct File {
    size_t size = 0;
    absl::Time received;
  };
  RevocationFiles(std::string directory, size_t max_bytes) : directory_(std::move(directory)), max_bytes_(max_bytes) {}
  void RemoveLocked(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeRoomLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string directory_;
  const size_t max_bytes_;
  mutable Mutex mutex_;
  std::map<std::string, File> files_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace gatehouse::server
