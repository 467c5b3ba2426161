// WatchedFiles tells when files of this machine change.
//
// What a path leads to counts, however it came to change: written in place, renamed over, or a symlink on the way swapped
// (Kubernetes mounts). A directory stands for the files in it. A change is told once it has stood still for a period, so
// that who writes two files has time for both. Files are polled: inotify watches inodes, not paths with links in them,
// and hears nothing of network file systems.
//
// Ownership:  owns its thread and the callbacks. The destructor waits for a callback that runs.
// Threading:  thread-safe. Callbacks run on the thread of this, one at a time, under no lock; they may call Watch, and
//             must not destroy this.
// Units:      a poll costs one stat a file; the latency of a change is one to two periods.
// Errors:     a path that is absent or cannot be looked at is a state like any other; whoever reads it says so.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"
#include "gateway/base/steady.h"

namespace gatehouse::server {

class WatchedFiles {
 public:
  using Changed = std::function<void()>;

  explicit WatchedFiles(absl::Duration period = absl::Seconds(1));
  ~WatchedFiles();
  WatchedFiles(const WatchedFiles&) = delete;
  WatchedFiles& operator=(const WatchedFiles&) = delete;

  // Watch sets what is watched under `id`; neither path nor `anyway`: nothing any more. Unless the paths are those that are watched already,
  // `changed` is also called once at first: what changed between their being read and this call is not missed. When
  // `anyway` has passed it is called once though nothing changed, and without paths too.
  void Watch(const std::string& id, std::vector<std::string> paths, Changed changed,
             absl::Duration anyway = absl::InfiniteDuration());

 private:
  struct Group {
    std::vector<std::string> paths;
    Changed changed;
    std::optional<std::string> seen;  // by the last poll
    std::optional<std::string> told;
    std::optional<SteadyTime> due;  // for a call though nothing changed
  };

  void Run();

  const absl::Duration period_;
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, Group> groups_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

inline constexpr size_t kMaxFolderBytes = size_t{512} << 20;

struct FileContent {
  std::string path;
  absl::StatusOr<std::string> content;  // as ReadFile returns it
};

// ReadFile returns the content of a regular file of at most `limit` octets. Errors: INVALID_ARGUMENT, NOT_FOUND,
// PERMISSION_DENIED, with the path and the cause, and nothing of the content.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit);
// ReadFiles is ReadFile for a file, and for each file of a directory in order of their names: one of these that cannot be
// read, a dangling link too, is told of in its place and spoils no other. Names that begin with a dot are left out
// (Kubernetes keeps its own there). A directory holds at most `folder_limit` octets. NOT_FOUND: there is no such path.
absl::StatusOr<std::vector<FileContent>> ReadFiles(const std::string& path, size_t limit,
                                                   size_t folder_limit = kMaxFolderBytes);

}  // namespace gatehouse::server
