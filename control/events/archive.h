// Archive keeps what the hub publishes on disk, and reads it to those who come late: one thread that writes in batches and
// answers readers between. Add never waits. What does not fit into the queue, or cannot be written for long, is lost: it is
// counted, and a reader who comes by gets a GAP with the count. AUDIT events have a queue's room, and on disk a quarter,
// of their own.
//
//   kOpen --disk full, I/O error--> kFailing --a write succeeds--> kOpen        what waits is kept meanwhile
//     `---- damaged ----> set aside, a new file goes on with the stream ------------^
//   kClosed --opened after all--> kOpen      it could not be opened at the start: a stream of its own began, which a new file
//                                            goes on with; the one of before, if there is one, is set aside
//
// Opening is tried again ever more rarely.
//
// Ownership:  owns the file and its thread. Stop (or the destructor) writes what waits.
// Threading:  thread-safe. Answers and notices come on the archive's thread, never under a lock of its own.
// Units:      options in octets.
// Errors:     none to who publishes: status() and notices tell.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "control/events/archive_file.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/status_service.pb.h"

namespace gatehouse::hub {

struct ArchiveOptions {
  static constexpr uint64_t kLeastBytes = 8 * 1024 * 1024;

  std::string path;
  uint64_t max_bytes = 1024 * 1024 * 1024;
  absl::Duration max_age = absl::Hours(30 * 24);  // 0: no limit
  std::string vfs;                                // as SqliteOptions'
  uint64_t max_waiting_bytes = 16 * 1024 * 1024;  // of events to be written; AUDIT events may take as much again
  absl::Duration period = absl::Milliseconds(200);  // between two writes
  absl::Duration retry = absl::Seconds(1);          // after one that failed; twice as long after each opening that did, up to
  absl::Duration most_retry = absl::Minutes(1);     // this
  absl::Duration idle = absl::Minutes(1);           // with nothing to write: what is too old goes
  // Tells people that the archive fails, is well again or was set aside. May be empty.
  std::function<void(std::string)> notice;
};

class Archive {
 public:
  // Open always returns an archive, whatever became of the file.
  static std::unique_ptr<Archive> Open(ArchiveOptions options, const Clock& clock);
  ~Archive();
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  // With which the hub goes on.
  const std::string& incarnation() const { return incarnation_; }
  uint64_t next() const { return next_; }
  const std::vector<std::pair<std::string, uint64_t>>& runs() const { return runs_; }

  // Start lets the thread begin; notices from Open come first.
  void Start();
  // Stop writes what waits, once, and closes the file. Idempotent.
  void Stop();

  void Add(BatchRef batch);
  // Ask answers with what is kept from a place on; dropped when nobody else holds the filter any more, or by Stop.
  using Answer = std::function<void(Found)>;
  void Ask(Wanted wanted, Answer answer);

  ArchiveBounds bounds() const;
  v1::ArchiveStatus status() const;
  // Events that are not written yet.
  uint64_t waiting() const;
  // Whether what is added now will be kept, as far as one can tell: the queue is at most half full. Does not wait.
  bool has_room() const { return room_.load(std::memory_order_relaxed); }

 private:
  Archive(ArchiveOptions options, const Clock& clock)
      : options_(std::move(options)), clock_(clock), pause_(options_.retry) {}
  absl::Status OpenFile(uint64_t next);
  // Puts a damaged file aside and opens another that goes on from `next`.
  absl::Status Replace(const absl::Status& damage, uint64_t next);
  // kClosed: puts aside what is of another stream, and opens a file that goes on with ours.
  absl::Status Begin();
  // Removes what was begun and is of no use: it holds nothing.
  void Remove();
  void Run();
  // Until the next write.
  absl::Duration Pause() const;
  void Write();
  void Reply(const Wanted& wanted, const Answer& answer);
  // Takes over what the file says of itself, and what is written off the queue.
  void Settle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    room_.store(began_ && waiting_bytes_ <= options_.max_waiting_bytes / 2, std::memory_order_relaxed);
  }
  Found LookInQueue(const Wanted& wanted);
  void Failed(const absl::Status& status);
  void Notice(std::string text);

  const ArchiveOptions options_;
  const Clock& clock_;
  std::string incarnation_;
  uint64_t next_ = 1;
  std::vector<std::pair<std::string, uint64_t>> runs_;
  std::vector<std::string> early_notices_;  // from Open
  // The thread's own.
  std::unique_ptr<ArchiveFile> file_;  // null: kClosed, or a new one could not be begun yet
  absl::Duration pause_;               // until opening is tried again
  absl::Status damage_;                // of a file that could not be set aside yet; OK: there is none
  uint64_t written_ = 1;               // the first event that is not written
  bool failing_ = false;

  mutable Mutex mutex_;
  CondVar wake_;
  bool began_ ABSL_GUARDED_BY(mutex_) = false;  // not kClosed: there was a file for our stream
  std::deque<Stretch> waiting_ ABSL_GUARDED_BY(mutex_);  // to be written, unbroken
  uint64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<bool> room_ = false;  // changed under the mutex
  std::deque<std::pair<Wanted, Answer>> asked_ ABSL_GUARDED_BY(mutex_);
  ArchiveBounds bounds_ ABSL_GUARDED_BY(mutex_);
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string error_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace gatehouse::hub
