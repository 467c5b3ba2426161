#include "control/events/archive_file.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "control/store/sqlite.h"
#include "gateway/base/steady.h"
#include "gateway/base/digest.h"
#include "gateway/base/status.h"

namespace gatehouse::hub {
namespace {

using store::Statement;

constexpr char kSchemaVersion[] = "1";
constexpr char kSchema[] = R"(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE chunk(
  first INTEGER PRIMARY KEY, next INTEGER NOT NULL, lost INTEGER, min_micros INTEGER NOT NULL,
  max_micros INTEGER NOT NULL, types INTEGER NOT NULL, CHECK (next > first)) STRICT;
CREATE INDEX hole ON chunk(first) WHERE lost IS NOT NULL;
CREATE TABLE body(first INTEGER PRIMARY KEY, wire BLOB NOT NULL) STRICT;
CREATE TABLE audit(sequence INTEGER PRIMARY KEY, micros INTEGER NOT NULL, wire BLOB NOT NULL) STRICT;
CREATE TABLE run(key TEXT PRIMARY KEY, batch INTEGER NOT NULL, sequence INTEGER NOT NULL) STRICT;
)";
constexpr size_t kChunkBytes = 64 * 1024;
constexpr absl::Duration kAgeCheck = absl::Minutes(1);
// Room for the write-ahead log and for pages that are free for a while.
constexpr uint64_t kMostRoom = 8 * 1024 * 1024;
constexpr int kPrunedAtOnce = 16;
constexpr int kLookedAtOnce = 1000;

constexpr uint32_t kAuditBit = TypeBit(v1::Event::AUDIT);

}  // namespace

absl::StatusOr<std::unique_ptr<ArchiveFile>> ArchiveFile::Open(Options options, absl::Time now) {
  if (options.vfs.empty()) GH_RETURN_IF_ERROR(store::PrepareDatabaseFile(options.path));
  std::unique_ptr<ArchiveFile> file(new ArchiveFile(std::move(options)));
  GH_RETURN_IF_ERROR(file->Connect());
  GH_RETURN_IF_ERROR(file->Prepare(now));
  return file;
}

ArchiveFile::~ArchiveFile() { sqlite3_close_v2(db_); }

absl::Status ArchiveFile::Connect() {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (sqlite3_open_v2(options_.path.c_str(), &db_, flags, options_.vfs.empty() ? nullptr : options_.vfs.c_str()) != SQLITE_OK) {
    return Error("cannot be opened");
  }
  GH_RETURN_IF_ERROR(Run("PRAGMA locking_mode=EXCLUSIVE"));
  GH_RETURN_IF_ERROR(Run("PRAGMA trusted_schema=OFF"));
  // Only a file without tables takes this.
  GH_RETURN_IF_ERROR(Run("PRAGMA auto_vacuum=INCREMENTAL"));
  GH_RETURN_IF_ERROR(Run("PRAGMA journal_mode=WAL"));
  // What the last second wrote may go with the power; the file stays whole.
  GH_RETURN_IF_ERROR(Run("PRAGMA synchronous=NORMAL"));
  return Run("PRAGMA journal_size_limit=4194304");
}

template <typename Work>
absl::Status ArchiveFile::InTransaction(Work work) {
  GH_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  absl::Status status = work();
  if (status.ok()) status = Run("COMMIT");
  // SQLite may have rolled back already.
  if (!status.ok() && sqlite3_get_autocommit(db_) == 0) Run("ROLLBACK").IgnoreError();
  return status;
}

absl::Status ArchiveFile::Prepare(absl::Time now) {
  GH_ASSIGN_OR_RETURN(const uint64_t tables, Number("SELECT count(*) FROM sqlite_schema"));
  if (tables == 0) GH_RETURN_IF_ERROR(InTransaction([this] { return Create(); }));
  GH_ASSIGN_OR_RETURN(const std::optional<std::string> version, Meta("schema_version"));
  const absl::string_view found = version.has_value() ? absl::string_view(*version) : "";
  if (found != kSchemaVersion) {
    return absl::DataLossError(absl::StrCat("archive ", options_.path, ": of schema version \"", found,
                                            "\"; this program knows ", kSchemaVersion));
  }
  GH_ASSIGN_OR_RETURN(const std::optional<std::string> incarnation, Meta("incarnation"));
  GH_ASSIGN_OR_RETURN(reserved_, MetaNumber("reserved"));
  GH_ASSIGN_OR_RETURN(bounds_.audit_first, MetaNumber("audit_first"));
  GH_ASSIGN_OR_RETURN(page_size_, Number("PRAGMA page_size"));
  GH_ASSIGN_OR_RETURN(next_, Number("SELECT coalesce(max(next), 1) FROM chunk"));
  if (!incarnation.has_value() || incarnation->size() != 16 || reserved_ < next_ || bounds_.audit_first == 0) {
    return absl::DataLossError(absl::StrCat("archive ", options_.path, ": damaged (what it says of itself is not consistent)"));
  }
  incarnation_ = *incarnation;
  absl::Status reserved = InTransaction([this, now]() -> absl::Status {
    if (next_ < reserved_) GH_RETURN_IF_ERROR(InsertHole(Stretch{nullptr, next_, reserved_, false}, now));
    next_ = std::max(next_, reserved_);
    return SetMeta("reserved", absl::StrCat(next_ + kReserve));
  });
  if (!reserved.ok()) return reserved;
  reserved_ = next_ + kReserve;
  // The reserve must not go with the power.
  if (sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr) != SQLITE_OK) {
    return Error("cannot be written");
  }
  GH_ASSIGN_OR_RETURN(bounds_.events, Number("SELECT coalesce(sum(next - first), 0) FROM chunk WHERE lost IS NULL"));
  return Measure();
}

absl::Status ArchiveFile::Create() {
  GH_RETURN_IF_ERROR(Run(kSchema));
  const bool goes_on = !options_.incarnation.empty();
  GH_RETURN_IF_ERROR(SetMeta("schema_version", kSchemaVersion));
  GH_RETURN_IF_ERROR(SetMeta("incarnation", goes_on ? options_.incarnation : HexLower(RandomBytes(8))));
  GH_RETURN_IF_ERROR(SetMeta("reserved", absl::StrCat(options_.next)));
  return SetMeta("audit_first", absl::StrCat(options_.next));
}

absl::Status ArchiveFile::Run(const char* sql) {
  return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus() : Error(sql);
}

absl::Status ArchiveFile::Error(const char* doing) {
  const int code = sqlite3_extended_errcode(db_);
  const std::string cause = absl::StrCat("archive ", options_.path, ": ");
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_CONSTRAINT:
      return absl::DataLossError(absl::StrCat(cause, "damaged (", sqlite3_errmsg(db_), ")"));
    case SQLITE_ERROR:  // a table or column that is not there
      return absl::DataLossError(absl::StrCat(cause, "not an archive of this program (", sqlite3_errmsg(db_), ")"));
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(cause, "the disk is full"));
    default:
      return absl::UnavailableError(absl::StrCat(cause, doing, ": ", sqlite3_errmsg(db_), " (", code, ")"));
  }
}

absl::StatusOr<std::optional<std::string>> ArchiveFile::Meta(const char* key) {
  Statement select(db_, "SELECT value FROM meta WHERE key = ?");
  switch (select.Text(key).Step()) {
    case SQLITE_ROW:
      return std::optional<std::string>(select.GetBytes(0));
    case SQLITE_DONE:
      return std::optional<std::string>();
    default:
      return Error("cannot be read");
  }
}

absl::StatusOr<uint64_t> ArchiveFile::MetaNumber(const char* key) {
  GH_ASSIGN_OR_RETURN(const std::optional<std::string> text, Meta(key));
  uint64_t number = 0;
  if (!text.has_value() || !absl::SimpleAtoi(*text, &number) || number == 0 || number > INT64_MAX / 2) {
    return absl::DataLossError(absl::StrCat("archive ", options_.path, ": damaged (\"", key, "\" is no number)"));
  }
  return number;
}

absl::Status ArchiveFile::SetMeta(const char* key, absl::string_view value) {
  Statement set(db_, "INSERT INTO meta(key, value) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value");
  return set.Text(key).Text(value).Step() == SQLITE_DONE ? absl::OkStatus() : Error("cannot be written");
}

absl::StatusOr<uint64_t> ArchiveFile::Number(const char* sql) {
  Statement select(db_, sql);
  return select.Step() == SQLITE_ROW ? absl::StatusOr<uint64_t>(select.GetInteger(0)) : Error(sql);
}

absl::StatusOr<std::vector<std::pair<std::string, uint64_t>>> ArchiveFile::Runs() {
  std::vector<std::pair<std::string, uint64_t>> runs;
  Statement select(db_, "SELECT key, batch FROM run ORDER BY sequence");
  int rc;
  while ((rc = select.Step()) == SQLITE_ROW) runs.emplace_back(select.GetBytes(0), select.GetInteger(1));
  if (rc != SQLITE_DONE) return Error("cannot be read");
  return runs;
}

absl::Status ArchiveFile::Insert(const Batch& batch) {
  Statement chunk(db_, "INSERT INTO chunk(first, next, lost, min_micros, max_micros, types) VALUES (?, ?, NULL, ?, ?, ?)");
  chunk.Integer(batch.first).Integer(batch.next()).Integer(static_cast<uint64_t>(batch.min_micros));
  chunk.Integer(static_cast<uint64_t>(batch.max_micros)).Integer(batch.types);
  if (chunk.Step() != SQLITE_DONE) return Error("cannot be written");
  Statement body(db_, "INSERT INTO body(first, wire) VALUES (?, ?)");
  return body.Integer(batch.first).Blob(batch.wire).Step() == SQLITE_DONE ? absl::OkStatus() : Error("cannot be written");
}

absl::Status ArchiveFile::InsertHole(const Stretch& hole, absl::Time now) {
  Statement chunk(db_, "INSERT INTO chunk(first, next, lost, min_micros, max_micros, types) VALUES (?, ?, ?, ?, ?, ?)");
  const auto micros = static_cast<uint64_t>(absl::ToUnixMicros(now));
  chunk.Integer(hole.first).Integer(hole.next).Integer(hole.counted ? hole.next - hole.first : 0).Integer(micros).Integer(micros);
  return chunk.Integer(~0u).Step() == SQLITE_DONE ? absl::OkStatus() : Error("cannot be written");
}

absl::Status ArchiveFile::InsertAudit(const Batch& batch) {
  for (size_t i = 0; i < batch.ends.size(); ++i) {
    Facts facts;
    const absl::string_view entry = batch.entry(i);
    if (!ReadFacts(EventOf(entry), &facts) || facts.type != v1::Event::AUDIT) continue;
    Statement audit(db_, "INSERT INTO audit(sequence, micros, wire) VALUES (?, ?, ?)");
    audit.Integer(batch.first + i).Integer(static_cast<uint64_t>(facts.micros)).Blob(entry);
    if (audit.Step() != SQLITE_DONE) return Error("cannot be written");
  }
  return absl::OkStatus();
}

absl::Status ArchiveFile::Append(absl::Span<const Stretch> stretches, absl::Time now) {
  const uint64_t next = stretches.empty() ? next_ : stretches.back().end();
  const uint64_t reserved = reserved_ < next + kReserve / 2 ? next + kReserve : reserved_;
  uint64_t events = 0;
  const absl::Status written = InTransaction([&]() -> absl::Status {
    Batch gathered;  // small batches together
    const auto flush = [&]() -> absl::Status {
      if (gathered.wire.empty()) return absl::OkStatus();
      GH_RETURN_IF_ERROR(Insert(gathered));
      gathered = Batch();
      return absl::OkStatus();
    };
    for (const Stretch& stretch : stretches) {
      if (stretch.batch == nullptr) {
        GH_RETURN_IF_ERROR(flush());
        GH_RETURN_IF_ERROR(InsertHole(stretch, now));
        continue;
      }
      const Batch& batch = *stretch.batch;
      events += batch.ends.size();
      if ((batch.types & kAuditBit) != 0) GH_RETURN_IF_ERROR(InsertAudit(batch));
      if (!batch.run.empty()) {
        Statement run(db_, "INSERT OR REPLACE INTO run(key, batch, sequence) VALUES (?, ?, ?)");
        if (run.Text(batch.run).Integer(batch.run_batch).Integer(batch.first).Step() != SQLITE_DONE) return Error("cannot be written");
      }
      if (gathered.ends.empty()) gathered.first = batch.first;
      gathered.wire += batch.wire;
      gathered.ends.resize(gathered.ends.size() + batch.ends.size());
      gathered.types |= batch.types;
      gathered.min_micros = std::min(gathered.min_micros, batch.min_micros);
      gathered.max_micros = std::max(gathered.max_micros, batch.max_micros);
      if (gathered.wire.size() >= kChunkBytes) GH_RETURN_IF_ERROR(flush());
    }
    GH_RETURN_IF_ERROR(flush());
    Statement old(db_, "DELETE FROM run WHERE sequence < (SELECT sequence FROM run ORDER BY sequence DESC LIMIT 1 OFFSET ?)");
    if (old.Integer(kMaxRuns - 1).Step() != SQLITE_DONE) return Error("cannot be written");
    return reserved == reserved_ ? absl::OkStatus() : SetMeta("reserved", absl::StrCat(reserved));
  });
  if (!written.ok()) return written;
  next_ = next;
  reserved_ = reserved;
  bounds_.events += events;
  GH_RETURN_IF_ERROR(InTransaction([&] { return Prune(now); }));
  // What is written next takes the pages that became free; only where there are many of them the file gets smaller.
  GH_ASSIGN_OR_RETURN(const uint64_t pages, Number("PRAGMA page_count"));
  GH_ASSIGN_OR_RETURN(const uint64_t unused, Number("PRAGMA freelist_count"));
  if (unused > pages / 4) GH_RETURN_IF_ERROR(Run("PRAGMA incremental_vacuum(256)"));
  return Measure();
}

absl::Status ArchiveFile::PruneBefore(uint64_t first) {
  GH_RETURN_IF_ERROR(JoinHoles(first));
  Statement bodies(db_, "DELETE FROM body WHERE first < ?");
  if (bodies.Integer(first).Step() != SQLITE_DONE) return Error("cannot be written");
  // AUDIT events may be missing in holes, and are kept for longer.
  Statement chunks(db_, "DELETE FROM chunk WHERE first < ? AND (lost IS NULL OR next <= ?)");
  if (chunks.Integer(first).Integer(bounds_.audit_first).Step() != SQLITE_DONE) return Error("cannot be written");
  return absl::OkStatus();
}

absl::Status ArchiveFile::JoinHoles(uint64_t end) {
  // Those before the oldest chunk were joined when it became that.
  GH_ASSIGN_OR_RETURN(const uint64_t begin, Number("SELECT coalesce(min(first), 0) FROM chunk WHERE lost IS NULL"));
  for (;;) {
    Statement pair(db_,
                   "SELECT before.first, hole.first, hole.next, hole.max_micros,"
                   " CASE WHEN before.lost = 0 OR hole.lost = 0 THEN 0 ELSE before.lost + hole.lost END"
                   " FROM chunk hole JOIN chunk before"
                   " ON before.first = (SELECT max(first) FROM chunk WHERE lost IS NOT NULL AND first < hole.first)"
                   " WHERE hole.lost IS NOT NULL AND hole.first >= ? AND hole.first < ?"
                   " AND NOT EXISTS (SELECT 1 FROM audit WHERE sequence >= before.next AND sequence < hole.first) LIMIT 1");
    const int rc = pair.Integer(begin).Integer(end).Step();
    if (rc == SQLITE_DONE) return absl::OkStatus();
    if (rc != SQLITE_ROW) return Error("cannot be read");
    Statement join(db_, "UPDATE chunk SET next = ?, max_micros = max(max_micros, ?), lost = ? WHERE first = ?");
    join.Integer(pair.GetInteger(2)).Integer(pair.GetInteger(3)).Integer(pair.GetInteger(4)).Integer(pair.GetInteger(0));
    if (join.Step() != SQLITE_DONE) return Error("cannot be written");
    Statement gone(db_, "DELETE FROM chunk WHERE first = ?");
    if (gone.Integer(pair.GetInteger(1)).Step() != SQLITE_DONE) return Error("cannot be written");
  }
}

absl::Status ArchiveFile::PruneAuditBefore(uint64_t sequence) {
  Statement prune(db_, "DELETE FROM audit WHERE sequence < ?");
  if (prune.Integer(sequence).Step() != SQLITE_DONE) return Error("cannot be written");
  return SetMeta("audit_first", absl::StrCat(std::max(sequence, bounds_.audit_first)));
}

absl::Status ArchiveFile::Prune(absl::Time now) {
  // Always a prefix, so that what stays is unbroken.
  if (options_.max_age > absl::ZeroDuration() && now - pruned_by_age_ >= kAgeCheck) {
    const auto cutoff = static_cast<uint64_t>(absl::ToUnixMicros(now - options_.max_age));
    Statement chunk(db_, "SELECT first FROM chunk WHERE max_micros >= ? ORDER BY first LIMIT 1");
    int rc = chunk.Integer(cutoff).Step();
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return Error("cannot be read");
    GH_RETURN_IF_ERROR(PruneBefore(rc == SQLITE_ROW ? chunk.GetInteger(0) : next_));
    Statement audit(db_, "SELECT sequence FROM audit WHERE micros >= ? ORDER BY sequence LIMIT 1");
    rc = audit.Integer(cutoff).Step();
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return Error("cannot be read");
    const uint64_t kept = rc == SQLITE_ROW ? audit.GetInteger(0) : next_;
    GH_ASSIGN_OR_RETURN(const uint64_t oldest, Number("SELECT coalesce(min(sequence), 0) FROM audit"));
    if (oldest != 0 && oldest < kept) GH_RETURN_IF_ERROR(PruneAuditBefore(kept));
    pruned_by_age_ = now;
  }
  const uint64_t room = options_.max_bytes - std::min(options_.max_bytes / 8, kMostRoom);
  const auto over = [&]() -> absl::StatusOr<bool> {
    GH_ASSIGN_OR_RETURN(const uint64_t pages, Number("PRAGMA page_count"));
    GH_ASSIGN_OR_RETURN(const uint64_t unused, Number("PRAGMA freelist_count"));
    return (pages - std::min(pages, unused)) * page_size_ > room;
  };
  // AUDIT events may take a quarter.
  GH_ASSIGN_OR_RETURN(bool full, over());
  if (!full) return absl::OkStatus();
  GH_ASSIGN_OR_RETURN(const uint64_t audits, Number("SELECT count(*) FROM audit"));
  GH_ASSIGN_OR_RETURN(const uint64_t audit_bytes, Number("SELECT coalesce(sum(length(wire)), 0) FROM audit"));
  if (audit_bytes > room / 4) {
    // The oldest of them, until a quarter of what is allowed is free again.
    Statement kept(db_, "SELECT sequence FROM audit ORDER BY sequence LIMIT 1 OFFSET ?");
    if (kept.Integer(audits - audits * (room / 16 * 3) / audit_bytes).Step() == SQLITE_ROW) {
      GH_RETURN_IF_ERROR(PruneAuditBefore(kept.GetInteger(0)));
    }
  }
  while (full) {
    Statement next(db_, "SELECT next FROM chunk WHERE lost IS NULL ORDER BY first LIMIT 1 OFFSET ?");
    const int rc = next.Integer(kPrunedAtOnce - 1).Step();
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return Error("cannot be read");
    GH_RETURN_IF_ERROR(PruneBefore(rc == SQLITE_ROW ? next.GetInteger(0) : next_));
    if (rc == SQLITE_DONE) break;
    GH_ASSIGN_OR_RETURN(full, over());
  }
  return absl::OkStatus();
}

absl::Status ArchiveFile::Measure() {
  ArchiveBounds bounds = bounds_;
  Statement oldest(db_, "SELECT first, min_micros FROM chunk WHERE lost IS NULL ORDER BY first LIMIT 1");
  int rc = oldest.Step();
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return Error("cannot be read");
  const uint64_t first = rc == SQLITE_ROW ? oldest.GetInteger(0) : next_;
  bounds.oldest_micros = rc == SQLITE_ROW ? static_cast<int64_t>(oldest.GetInteger(1)) : 0;
  if (first != bounds_.first) {
    GH_ASSIGN_OR_RETURN(bounds.events, Number("SELECT coalesce(sum(next - first), 0) FROM chunk WHERE lost IS NULL"));
  }
  bounds.first = first;
  Statement audit(db_, "SELECT micros FROM audit ORDER BY sequence LIMIT 1");
  rc = audit.Step();
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return Error("cannot be read");
  bounds.oldest_audit_micros = rc == SQLITE_ROW ? static_cast<int64_t>(audit.GetInteger(0)) : 0;
  GH_ASSIGN_OR_RETURN(bounds.audit_first, MetaNumber("audit_first"));
  GH_ASSIGN_OR_RETURN(const uint64_t pages, Number("PRAGMA page_count"));
  bounds.bytes = pages * page_size_;
  bounds_ = bounds;
  return absl::OkStatus();
}

absl::StatusOr<Found> ArchiveFile::ReadAudit(const Wanted& wanted) {
  // The next one that matches; other events between are of no interest to who asks, holes are.
  Found found;
  Statement select(db_, "SELECT sequence, wire FROM audit WHERE sequence >= ? AND micros >= ? ORDER BY sequence");
  select.Integer(wanted.from).Integer(static_cast<uint64_t>(wanted.since_micros));
  int rc;
  for (int i = 0; (rc = select.Step()) == SQLITE_ROW && i < kLookedAtOnce; ++i) {
    const uint64_t sequence = select.GetInteger(0);
    found.next = sequence + 1;
    std::vector<v1::Event> events;
    found.batch = BatchOf(sequence, 1, incarnation_, select.GetBytes(1), &events);
    found.gap = found.batch == nullptr;
    found.missed = found.gap ? 1 : 0;
    if (found.gap || wanted.filter->Matches(events[0])) break;
    found.batch = nullptr;
  }
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return Error("cannot be read");
  if (rc == SQLITE_DONE) found.next = std::max(wanted.from, next_);
  Statement hole(db_,
                 "SELECT first, next, lost FROM chunk WHERE lost IS NOT NULL AND first < ? AND next > ? AND max_micros >= ?"
                 " ORDER BY first LIMIT 1");
  hole.Integer(found.next).Integer(wanted.from).Integer(static_cast<uint64_t>(wanted.since_micros));
  rc = hole.Step();
  if (rc == SQLITE_DONE) return found;
  if (rc != SQLITE_ROW) return Error("cannot be read");
  const uint64_t next = hole.GetInteger(1);
  // Several that were joined are of more than was lost.
  return Found{next, nullptr, true, std::min(hole.GetInteger(2), next - std::max(wanted.from, hole.GetInteger(0)))};
}

absl::StatusOr<Found> ArchiveFile::Read(const Wanted& wanted, absl::Duration budget) {
  const uint32_t types = wanted.filter->types();
  if (types == kAuditBit) return ReadAudit(wanted);
  const SteadyTime until = SteadyAfter(budget);
  Found found;
  found.next = wanted.from;
  Statement select(db_,
                   "SELECT first, next, lost, max_micros, types FROM chunk"
                   " WHERE first >= (SELECT coalesce(max(first), 0) FROM chunk WHERE first <= ?) ORDER BY first");
  select.Integer(wanted.from);
  int rc;
  while ((rc = select.Step()) == SQLITE_ROW) {
    const uint64_t first = select.GetInteger(0);
    const uint64_t next = select.GetInteger(1);
    if (next <= found.next) continue;
    if (first > found.next) {  // it was let go of meanwhile
      if (found.next > wanted.from) return found;
      return Found{first, nullptr, true, first - found.next};
    }
    if (!select.IsNull(2)) {
      if (found.next > wanted.from) return found;
      return Found{next, nullptr, true, select.GetInteger(2) == 0 ? 0 : next - found.next};
    }
    if ((select.GetInteger(4) & (types | kLostBit)) == 0 || static_cast<int64_t>(select.GetInteger(3)) < wanted.since_micros) {
      found.next = next;
      continue;
    }
    if (SteadyNow() >= until && found.next > wanted.from) return found;
    Statement body(db_, "SELECT wire FROM body WHERE first = ?");
    const int got = body.Integer(first).Step();
    if (got != SQLITE_ROW && got != SQLITE_DONE) return Error("cannot be read");
    std::vector<v1::Event> events;
    BatchRef batch = got == SQLITE_ROW ? BatchOf(first, next - first, incarnation_, body.GetBytes(0), &events) : nullptr;
    if (batch == nullptr) {
      if (found.next > wanted.from) return found;
      return Found{next, nullptr, true, next - found.next};
    }
    bool any = wanted.filter->empty() && wanted.since_micros == 0;
    for (size_t i = 0; i < events.size() && !any; ++i) {
      any = first + i >= found.next && MicrosOf(events[i].time()) >= wanted.since_micros &&
            (wanted.filter->Matches(events[i]) || wanted.filter->MayHaveMatchedBefore(events[i]));
    }
    found.next = next;
    if (!any) continue;
    found.batch = std::move(batch);
    return found;
  }
  if (rc != SQLITE_DONE) return Error("cannot be read");
  return found;
}

absl::Status ArchiveFile::Close() {
  GH_RETURN_IF_ERROR(SetMeta("reserved", absl::StrCat(next_)));
  reserved_ = next_;
  sqlite3* db = std::exchange(db_, nullptr);
  return sqlite3_close_v2(db) == SQLITE_OK ? absl::OkStatus() : absl::UnavailableError("archive: cannot be closed");
}

std::string ArchiveFile::AsideName(const std::string& path, absl::string_view as, absl::Time now) {
  return absl::StrCat(path, ".", as, "-", absl::FormatTime("%Y%m%dT%H%M%E3SZ", now, absl::UTCTimeZone()));
}

absl::Status ArchiveFile::SetAside(const std::string& path, absl::string_view as, absl::Time now) {
  const std::string aside = AsideName(path, as, now);
  for (const char* companion : {"-wal", "-shm", ""}) {
    if (std::rename(absl::StrCat(path, companion).c_str(), absl::StrCat(aside, companion).c_str()) != 0 && errno != ENOENT) {
      return absl::UnavailableError(absl::StrCat("archive ", path, ": cannot be set aside as ", aside, ": ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

}  // namespace gatehouse::hub
