// LockoutDesk is a gateway's memory of who guesses passwords: the throttle, kept over restarts, its alarms as events, and
// its numbers for the metrics.
//
// What is counted is written to a sealed file once a second while it changes, at once when a lock-out begins, and at the
// end. A crash loses at most what was counted since. A file that cannot be read is put aside and an event says so: guessers
// begin anew then, for the other way, to refuse everybody, would make a damaged file a means to shut everybody out.
//
// Ownership:  owns the throttle; clock outlives it.
// Threading:  thread-safe; Open, Start and the destructor by one thread. Events come from any thread, under no lock of its
//             own.
// Errors:     Open: FAILED_PRECONDITION, UNAVAILABLE (the key file).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/base/sealed_file.h"
#include "gateway/credentials/throttle.h"
#include "gateway/events/event.h"

namespace gatehouse::server {

class LockoutDesk {
 public:
  struct Options {
    const Clock* clock = nullptr;
    std::string file;      // in a directory of ours; empty: in memory alone
    std::string key_file;  // that seals it; made when there is none
    size_t capacity = 100'000;  // entries
  };
  using OnEvent = std::function<void(events::Event)>;

  static absl::StatusOr<std::unique_ptr<LockoutDesk>> Open(Options options);
  ~LockoutDesk();
  LockoutDesk(const LockoutDesk&) = delete;
  LockoutDesk& operator=(const LockoutDesk&) = delete;

  // Begins to save, and to tell. Before the first attempt.
  void Start(OnEvent on_event);
  // Saves for the last time, and tells nothing more. Idempotent.
  void Stop();

  // Clear lets in again whom the filter chooses; `what` says so in the event. Returns how many entries there were.
  size_t Clear(const credentials::Throttle::Filter& filter, const credentials::Throttle::OptionsOf& options_of,
               const std::string& what);

  credentials::Throttle& throttle() { return throttle_; }
  const credentials::Throttle& throttle() const { return throttle_; }
  // What a crash would forget: failures that are counted and not on disk yet; without a file zero.
  uint64_t unsaved() const;
  // Writes to the file that failed.
  uint64_t save_failures() const { return save_failures_.load(std::memory_order_relaxed); }

 private:
  explicit LockoutDesk(const Options& options);

  void Run();
  void Save();
  void SaveSoon();
  void Hear(const credentials::ThrottleAlarm& alarm);
  void Tell(events::Outcome outcome, Reason reason, const std::string& scheme, std::string detail);

  const Clock& clock_;
  std::optional<SealedFile> file_;
  credentials::Throttle throttle_;
  std::string damage_;  // what was wrong with the file, to be told
  OnEvent on_event_;    // set once, by Start
  std::atomic<uint64_t> saved_{0};  // changes
  bool failing_ = false;
  std::atomic<uint64_t> save_failures_{0};

  Mutex mutex_;
  CondVar wake_;
  bool urgent_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread saver_;
};

}  // namespace gatehouse::server
