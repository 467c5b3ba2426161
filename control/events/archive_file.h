// ArchiveFile keeps events in an SQLite file of its own, so that a year-old audit event can be read and the configuration
// store knows nothing of it.
//
//   meta(key, value)                     schema version, incarnation, reserved sequence, where audit events begin
//   chunk(first, next, lost, …)          a stretch of the stream; `lost` is set where it is a hole, 0 when nobody knows how many
//   body(first, wire)                    the chunk's events, as a WatchResponse
//   audit(sequence, wire)                each AUDIT event once more: no flood of decisions pushes these out
//   run(key, batch)                      what gateways reported last, so that it is not taken twice after a restart
//
// Sequences never come twice: those that a run may give out are reserved ahead. After a crash the next run begins behind
// the reserve, and a hole of unknown size says so; an orderly end takes the reserve back.
//
// Threading:  thread-compatible.
// Units:      octets of live pages; times in microseconds of Unix time.
// Errors:     DATA_LOSS: damaged, to be set aside. RESOURCE_EXHAUSTED: the disk is full. Others name the cause. What failed
//             changed nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "control/events/batch.h"
#include "control/events/filter.h"

struct sqlite3;

namespace gatehouse::hub {

// A stretch of the stream: a batch, or a hole where `next - first` events, or an unknown number of them, are missing.
struct Stretch {
  BatchRef batch;
  uint64_t first = 0;  // of a hole
  uint64_t next = 0;   // of a hole
  bool counted = true;  // the hole's size is what was lost
  uint64_t begin() const { return batch ? batch->first : first; }
  uint64_t end() const { return batch ? batch->next() : next; }
};

// What a reader is told of the stream from its place on.
struct Found {
  uint64_t next = 0;  // looked at up to here; equal to the place: there is nothing more
  BatchRef batch;     // to be looked at; null: a gap, or nothing that matches
  bool gap = false;
  uint64_t missed = 0;  // of a gap; 0: nobody knows
};

// What a reader wants.
struct Wanted {
  uint64_t from = 0;
  std::shared_ptr<const Filter> filter;
  int64_t since_micros = 0;  // older events do not count
};

// What is there.
struct ArchiveBounds {
  uint64_t first = 1;        // of the stream, unbroken from here but for holes
  uint64_t audit_first = 1;  // the same for AUDIT events
  int64_t oldest_micros = 0;  // 0: there is none
  int64_t oldest_audit_micros = 0;
  uint64_t events = 0;
  uint64_t bytes = 0;  // on disk
};

class ArchiveFile {
 public:
  struct Options {
    std::string path;
    std::string vfs;         // as SqliteOptions'
    uint64_t max_bytes = 0;  // a quarter of it is for AUDIT events
    absl::Duration max_age = absl::ZeroDuration();  // 0: no limit
    // A new file goes on with this stream, and knows that what was before is gone. Empty: a stream of its own.
    std::string incarnation;
    uint64_t next = 1;
  };
  static constexpr uint64_t kReserve = 1'000'000'000;
  static constexpr size_t kMaxRuns = 4096;

  static absl::StatusOr<std::unique_ptr<ArchiveFile>> Open(Options options, absl::Time now);
  ~ArchiveFile();
  ArchiveFile(const ArchiveFile&) = delete;
  ArchiveFile& operator=(const ArchiveFile&) = delete;

  const std::string& incarnation() const { return incarnation_; }
  // Sequence of the first event that is not here.
  uint64_t next() const { return next_; }
  // (key, batch) of gateways' runs, the latest last.
  absl::StatusOr<std::vector<std::pair<std::string, uint64_t>>> Runs();

  // Append writes stretches that follow one another from next() on, and lets go of what is over the limits.
  absl::Status Append(absl::Span<const Stretch> stretches, absl::Time now);
  // Read looks at most at `budget` of time.
  absl::StatusOr<Found> Read(const Wanted& wanted, absl::Duration budget);
  ArchiveBounds bounds() const { return bounds_; }
  // Close takes the reserve back: an orderly end.
  absl::Status Close();

  // Renames the file and its companions to AsideName: "events.db.damaged-20261127T…" of `as` "damaged". UNAVAILABLE: it cannot
  // be.
  static absl::Status SetAside(const std::string& path, absl::string_view as, absl::Time now);
  static std::string AsideName(const std::string& path, absl::string_view as, absl::Time now);

 private:
  explicit ArchiveFile(Options options) : options_(std::move(options)) {}
  absl::Status Connect();
  absl::Status Prepare(absl::Time now);
  absl::Status Create();
  absl::Status Run(const char* sql);
  // BEGIN, `work`, COMMIT or ROLLBACK.
  template <typename Work>
  absl::Status InTransaction(Work work);
  absl::Status Error(const char* doing);
  absl::StatusOr<std::optional<std::string>> Meta(const char* key);
  absl::StatusOr<uint64_t> MetaNumber(const char* key);
  absl::Status SetMeta(const char* key, absl::string_view value);
  absl::StatusOr<uint64_t> Number(const char* sql);
  absl::Status Insert(const Batch& batch);
  absl::Status InsertHole(const Stretch& hole, absl::Time now);
  absl::Status InsertAudit(const Batch& batch);
  absl::Status Prune(absl::Time now);
  absl::Status PruneBefore(uint64_t first);
  // Makes one of holes before `end` with no AUDIT event between, so that there are not more of them than of these.
  absl::Status JoinHoles(uint64_t end);
  absl::Status PruneAuditBefore(uint64_t sequence);
  absl::Status Measure();
  absl::StatusOr<Found> ReadAudit(const Wanted& wanted);

  const Options options_;
  std::string incarnation_;
  sqlite3* db_ = nullptr;
  uint64_t next_ = 1;
  uint64_t reserved_ = 1;
  uint64_t page_size_ = 4096;
  absl::Time pruned_by_age_;
  ArchiveBounds bounds_;
};

}  // namespace gatehouse::hub
