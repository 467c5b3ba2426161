// WatchedCrls reads revocation lists from files and directories of this machine, and reads them again when they change.
//
// A file that cannot be read or parsed keeps what it last held, as does a directory's entry that leads nowhere; one that is
// gone holds nothing, and those whom only it could vouch for are of unknown revocation. A list that is older than the one it would replace is refused.
//
// Ownership:  owns the watch; callbacks are the caller's and are called under no lock of the caller's.
// Threading:  thread-safe. Callbacks run on the watch's thread or in Add, one at a time.
// Units:      a list is at most certs::kMaxCrlSize; a change is noticed within about a second.
// Errors:     told to `problem`, each once, naming file and cause.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gateway/base/mutex.h"
#include "gateway/certs/crl.h"
#include "gateway/server/watched_files.h"

namespace gatehouse::server {

class WatchedCrls {
 public:
  // What `file` holds from now on; empty: nothing.
  using Changed = std::function<void(const std::string& file, std::vector<certs::CrlRef> lists)>;
  using Problem = std::function<void(const std::string& text)>;

  WatchedCrls(Changed changed, Problem problem, absl::Duration period = absl::Milliseconds(500));

  // Add watches further paths. What they hold is read before it returns.
  void Add(const std::vector<std::string>& paths);
  // Keep forgets all other paths.
  void Keep(const std::vector<std::string>& paths);

 private:
  struct Place {
    std::map<std::string, std::vector<certs::CrlRef>> files;
  };
  void Reload(const std::string& path);
  void ReloadLocked(const std::string& path, Place* place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(const std::string& file, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Changed changed_;
  const Problem problem_;
  Mutex mutex_;  // held while files are read: who changes what is watched waits
  std::map<std::string, Place> places_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> told_ ABSL_GUARDED_BY(mutex_);  // by file
  WatchedFiles watch_;  // last: its thread ends before what it uses goes
};

}  // namespace gatehouse::server
