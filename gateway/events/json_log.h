// JsonLog writes events as JSON lines, one object an event with the proto's names, to a file or to standard output. What
// strangers chose is escaped. A file that was moved away is opened anew under its name, so that log rotation needs no signal.
//
// Ownership:  owns its thread and file. Stop (or the destructor) writes what waits, for two seconds at most.
// Threading:  thread-safe. Add never waits: one thread of its own writes.
// Units:      the queue in octets of wire form; what does not fit, or cannot be written, is lost, counted, and the next line
//             that is written is a GAP with the count.
// Errors:     Open names the file and the cause; later ones are told by `trouble`.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/base/steady.h"

namespace gatehouse::v1 {
class Event;
}  // namespace gatehouse::v1

namespace gatehouse::events {

struct JsonLogOptions {
  std::string path;  // "-": standard output
  size_t max_waiting_bytes = 16 * 1024 * 1024;
  // Called when writing begins to fail, and with an empty text when it is well again. May be empty.
  std::function<void(std::string)> trouble;
};

class JsonLog {
 public:
  static absl::StatusOr<std::unique_ptr<JsonLog>> Open(JsonLogOptions options, const Clock& clock);
  ~JsonLog();
  JsonLog(const JsonLog&) = delete;
  JsonLog& operator=(const JsonLog&) = delete;

  // `wire` is the wire form of a WatchResponse with `events` events.
  void Add(std::shared_ptr<const std::string> wire, size_t events);
  void Stop();
  // Lines that were not written.
  uint64_t lost() const;
  // The same in Prometheus' text format.
  std::string MetricsText() const;

 private:
  struct Waiting {
    std::shared_ptr<const std::string> wire;
    size_t events;
  };
  JsonLog(JsonLogOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}

  void Run();
  void WriteBatch(const Waiting& waiting);
  // Opens the file, anew when what bears its name is another one.
  absl::Status OpenFile();
  // Returns how many were written whole.
  size_t WriteLines(absl::Span<const v1::Event* const> events, absl::Status* status);
  // Adds to `octets` what was written, on failure too.
  absl::Status WriteAll(absl::string_view text, size_t* octets);
  bool Stopped(SteadyTime* until) const;
  void Lost(uint64_t lines);

  const JsonLogOptions options_;
  const Clock& clock_;
  // The thread's own.
  int fd_ = -1;
  bool regular_ = false;
  bool torn_ = false;     // the last line is not whole
  bool failing_ = false;
  SteadyTime looked_;     // at the file's name
  std::string text_;      // lines that are written together
  std::vector<size_t> ends_;  // of each, in text_

  mutable Mutex mutex_;
  CondVar wake_;
  std::deque<Waiting> queue_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t untold_ ABSL_GUARDED_BY(mutex_) = 0;  // of lost_, told by no GAP yet
  SteadyTime stop_by_ ABSL_GUARDED_BY(mutex_) = SteadyTime::max();
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace gatehouse::events
