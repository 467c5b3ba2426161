// AccessLogs is the one writer of a gateway's access logs. Workers leave lines in rings of their own and never wait; what
// does not fit, or cannot be written, is lost and counted.
//
//   workers --Begin, Commit--> ring each --one thread, every few milliseconds--> files, standard output
//
// A file is made with mode 0640, never through a symbolic link, and opened anew when it was moved or removed, so that
// logrotate needs to tell nobody. A reader of standard output that stops reading holds up standard output alone.
//
// Ownership:  owns files; standard output is borrowed.
// Threading:  Begin and Commit: the worker of that index. Use: any thread. WriteOnce: one thread at a time; the one that
//             Start began, where it did. The counters: any thread.
// Units:      ring capacity in lines, a power of two.
// Errors:     Use: the file that cannot be opened, named by its field. Later ones are counted and told by `on_notice`.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"
#include "gateway/base/ring.h"
#include "gateway/config/snapshot.h"
#include "gateway/loop/listen.h"
#include "gateway/metrics/registry.h"

namespace gatehouse::server {

class AccessLogs {
 public:
  struct Options {
    size_t workers = 1;
    size_t capacity = 4096;  // lines of one worker that wait
    absl::Duration period = absl::Milliseconds(20);
    size_t max_pending = 1024 * 1024;  // octets that standard output did not take yet
    int standard_output = 1;
    // A log ceased to be writable (true), or is again. From the writing thread.
    std::function<void(const std::string& text, bool failed)> on_notice;
  };

  explicit AccessLogs(Options options);
  ~AccessLogs();
  AccessLogs(const AccessLogs&) = delete;
  AccessLogs& operator=(const AccessLogs&) = delete;

  // Start begins the thread that writes. Without it, call WriteOnce.
  void Start();
  // Stop writes what is left and ends the thread. After the last worker was stopped; idempotent.
  void Stop();

  // Use tries the files that `snapshot` logs to: every one of them can be opened.
  static absl::Status Use(const config::Snapshot& snapshot);

  // Begin returns an empty string to write a line to, which Commit hands on; null when there is no room (counted).
  std::string* Begin(size_t worker, const config::AccessLogRef& log);
  void Commit(size_t worker);

  void WriteOnce();

  uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }
  void AddMetrics(metrics::Registry* registry) const;

 private:
  struct Slot {
    config::AccessLogRef log;
    std::string text;
  };
  // Where lines go: a file, or standard output (by the name "").
  struct Target {
    loop::Fd fd;
    uint64_t device = 0, inode = 0;
    std::string pending;   // of this turn; for standard output also of earlier ones
    uint64_t lines = 0;    // in it
    bool failed = false;   // told
    bool broken_line = false;  // the last write ended within a line
    int idle = 0;          // turns without a line
  };

  void Run();
  void Append(Slot* slot);
  void WriteFile(const std::string& path, Target* target);
  void WriteStandardOutput(Target* target);
  void Lose(Target* target, const std::string& path, const std::string& why);

  const Options options_;
  std::vector<std::unique_ptr<SpscRing<Slot>>> rings_;
  std::map<std::string, Target> targets_;  // the writing thread's
  std::atomic<uint64_t> written_{0}, lost_{0};
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace gatehouse::server
