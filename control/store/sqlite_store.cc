#include "control/store/sqlite_store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "control/store/history.h"
#include "control/store/sqlite.h"
#include "gateway/base/digest.h"
#include "gateway/base/fields.h"
#include "gateway/base/status.h"

namespace gatehouse::store {
namespace {

constexpr char kSchemaVersion[] = "1";
constexpr char kWaiting[] = ".new";    // of a key file
constexpr uint64_t kProgress = 256;  // values between two reports
constexpr char kSchema[] = R"(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE revision(
  revision INTEGER PRIMARY KEY, parent INTEGER NOT NULL UNIQUE, time INTEGER NOT NULL, actor TEXT NOT NULL,
  message TEXT NOT NULL, request_id TEXT UNIQUE, changes BLOB NOT NULL, CHECK (revision = parent + 1)) STRICT;
CREATE TABLE version(
  kind INTEGER NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL REFERENCES revision, body BLOB,
  PRIMARY KEY (kind, name, revision)) STRICT;
)";

// Also in stores that were made before there was one.
constexpr char kEntries[] = R"(
CREATE TABLE IF NOT EXISTS entry(
  entry INTEGER PRIMARY KEY AUTOINCREMENT, revision INTEGER NOT NULL, method TEXT NOT NULL, actor TEXT NOT NULL,
  routine INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS entry_by_place ON entry(revision, entry);
CREATE INDEX IF NOT EXISTS entry_by_method ON entry(method, entry);
CREATE INDEX IF NOT EXISTS entry_by_kind ON entry(routine, entry);
CREATE INDEX IF NOT EXISTS entry_by_account ON entry(routine, actor, entry);
)";

bool HoldsSecrets(int kind) { return kind == v1::SERVER_CERTIFICATE || kind == v1::USER_STORE; }

// A scheme may hold the key by which a service knows who asks it; others are kept as they are.
bool HoldsSecrets(const v1::Resource& resource) {
  return resource.has_scheme() && !resource.scheme().basic().validator().tls().private_key_pem().empty();
}

// Whether a stored body is sealed.
bool IsSealed(const ResourceKey& key, const std::string& body) {
  if (key.first != v1::SCHEME) return HoldsSecrets(key.first);
  v1::Resource plain;
  return !(plain.ParseFromString(body) && KeyOf(plain) == key);
}

// What the table has no column for.
std::string SerializeRecord(const Transaction& transaction) {
  v1::Revision record;
  for (const v1::Change& change : transaction.changes) *record.add_changes() = change;
  record.set_peer(transaction.peer);
  record.set_method(transaction.method);
  return record.SerializeAsString();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(SqliteOptions options) {
  if (options.path.empty()) return absl::InvalidArgumentError("store: no path given");
  if (options.vfs.empty()) GH_RETURN_IF_ERROR(PrepareDatabaseFile(options.path));
  if (options.key.empty()) {
    if (options.key_file.empty()) options.key_file = absl::StrCat(FolderOf(options.path), "/secret.key");
    struct stat info;
    const bool fresh = stat(options.path.c_str(), &info) == 0 && info.st_size == 0;
    auto key = fresh ? LoadOrCreateKey(options.key_file) : LoadKey(options.key_file);
    if (absl::IsNotFound(key.status())) {
      return absl::FailedPreconditionError(absl::StrCat("store ", options.path, " has secrets, but its key file ",
                                                        options.key_file, " is not there: restore it"));
    }
    if (!key.ok()) return key.status();
    options.key = *std::move(key);
  } else {
    options.key_file.clear();
  }
  for (const Secret* key : {&options.key, &options.new_key}) {
    if (key->size() != SecretBox::kKeyBytes && !(key == &options.new_key && key->empty())) {
      return absl::InvalidArgumentError(absl::StrCat("store: the key must have ", SecretBox::kKeyBytes, " octets"));
    }
  }
  auto store = std::unique_ptr<SqliteStore>(
      new SqliteStore(options.path, options.key_file, std::move(options.key), std::move(options.new_key)));
  MutexLock lock(&store->mutex_);
  GH_RETURN_IF_ERROR(store->Connect(options.vfs));
  GH_RETURN_IF_ERROR(store->Prepare());
  return store;
}

SqliteStore::~SqliteStore() {
  MutexLock lock(&mutex_);
  sqlite3_close_v2(db_);
}

absl::Status SqliteStore::Connect(const std::string& vfs) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (sqlite3_open_v2(path_.c_str(), &db_, flags, vfs.empty() ? nullptr : vfs.c_str()) != SQLITE_OK) {
    return Error("cannot open the store");
  }
  // Opening is lazy, and SQLite falls back to read-only by itself: the write lock, kept for good, finds out.
  GH_RETURN_IF_ERROR(Run("PRAGMA locking_mode=EXCLUSIVE"));
  GH_RETURN_IF_ERROR(Run("PRAGMA trusted_schema=OFF"));
  GH_RETURN_IF_ERROR(Run("PRAGMA foreign_keys=ON"));
  GH_RETURN_IF_ERROR(Run("PRAGMA synchronous=FULL"));
  if (sqlite3_db_readonly(db_, "main") == 1) {
    return absl::FailedPreconditionError(absl::StrCat("store ", path_, " is read-only"));
  }
  GH_RETURN_IF_ERROR(Run("PRAGMA journal_mode=WAL"));
  GH_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  return Run("COMMIT");
}

absl::Status SqliteStore::Prepare() {
  bool created = false;
  {
    Statement tables(db_, "SELECT count(*) FROM sqlite_schema");
    if (tables.Step() != SQLITE_ROW) return Error("cannot read the store");
    created = tables.GetInteger(0) != 0;
  }
  if (!created) GH_RETURN_IF_ERROR(Create());
  GH_ASSIGN_OR_RETURN(std::string version, Meta("schema_version"));
  if (version != kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat("store ", path_, " has schema version \"", version,
                                                      "\"; this program knows ", kSchemaVersion));
  }
  GH_ASSIGN_OR_RETURN(incarnation_, Meta("incarnation"));
  GH_ASSIGN_OR_RETURN(std::string check, Meta("key_check"));
  if (incarnation_.empty() || check.empty()) {
    return absl::DataLossError(absl::StrCat("store ", path_, " is damaged: it has no incarnation or key check"));
  }
  GH_RETURN_IF_ERROR(UseRightKey(check));
  return Run(kEntries);
}

absl::StatusOr<Secret> SqliteStore::NewKey() const {
  if (!key_file_.empty()) return LoadKey(absl::StrCat(key_file_, kWaiting));
  if (new_key_.empty()) return absl::NotFoundError("no new key was given");
  return Secret(new_key_.Reveal());
}

// `check` is of the key that the store is sealed with.
absl::Status SqliteStore::UseRightKey(const std::string& check) {
  if (check == box_.Fingerprint()) return absl::OkStatus();
  absl::StatusOr<Secret> waiting = NewKey();
  if (waiting.ok()) {
    SecretBox box(*std::move(waiting));
    if (check == box.Fingerprint()) {
      // A rotation ended just before the files changed places.
      box_ = std::move(box);
      return key_file_.empty() ? absl::OkStatus() : ReplaceKey(absl::StrCat(key_file_, kWaiting), key_file_);
    }
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "store ", path_, " was sealed with another secret key than ", key_file_.empty() ? "the given one" : key_file_,
      ": restore the key that belongs to it; nothing was changed"));
}

absl::StatusOr<std::string> SqliteStore::RotateKey(const std::function<void(uint64_t, uint64_t)>& progress) {
  absl::StatusOr<Secret> waiting = NewKey();
  if (absl::IsNotFound(waiting.status())) {
    return absl::FailedPreconditionError(
        key_file_.empty()
            ? std::string("no new key is given: start the server with it in GATEHOUSE_NEW_SECRET_KEY beside the one in force")
            : absl::StrCat("no new key is given: put 32 random octets into ", key_file_, kWaiting,
                           ", mode 0600, on the server's machine"));
  }
  if (!waiting.ok()) return absl::FailedPreconditionError(waiting.status().message());
  SecretBox box(*std::move(waiting));
  MutexLock lock(&mutex_);
  if (box.Fingerprint() == box_.Fingerprint()) return absl::FailedPreconditionError("the new key is the one in force");
  GH_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  GH_RETURN_IF_ERROR(End(SealAnew(box, progress)));
  std::string id = box.KeyId();
  box_ = std::move(box);
  // What was sealed under the old key leaves the log, too; that it cannot now is no failure of the rotation.
  Run("PRAGMA wal_checkpoint(TRUNCATE)").IgnoreError();
  if (!key_file_.empty()) {
    const absl::Status placed = ReplaceKey(absl::StrCat(key_file_, kWaiting), key_file_);
    if (!placed.ok()) {
      return absl::UnavailableError(absl::StrCat("the new key is in force, but ", placed.message(), ": keep ", key_file_, kWaiting,
                                                 "; the next start tries again"));
    }
  }
  return id;
}

absl::Status SqliteStore::SealAnew(const SecretBox& box, const std::function<void(uint64_t, uint64_t)>& progress) {
  struct Row {
    ResourceKey key;
    uint64_t revision = 0;
  };
  std::vector<Row> rows;
  {
    Statement select(db_, "SELECT kind, name, revision, body FROM version WHERE body IS NOT NULL");
    int rc;
    while ((rc = select.Step()) == SQLITE_ROW) {
      const ResourceKey key(static_cast<int>(select.GetInteger(0)), select.GetBytes(1));
      if (IsSealed(key, select.GetBytes(3))) rows.push_back({key, select.GetInteger(2)});
    }
    if (rc != SQLITE_DONE) return Error("cannot read the configuration");
  }
  uint64_t sealed = 0;
  for (const Row& row : rows) {
    const auto kind = static_cast<uint64_t>(row.key.first);
    Statement select(db_, "SELECT body FROM version WHERE kind = ? AND name = ? AND revision = ?");
    if (select.Integer(kind).Text(row.key.second).Integer(row.revision).Step() != SQLITE_ROW) return Error("cannot read");
    const std::string place = Place(row.key, row.revision);
    auto opened = box_.Open(select.GetBytes(0), place);
    if (!opened.ok()) {
      return absl::DataLossError(absl::StrCat("store ", path_, ": ", v1::Kind_Name(row.key.first), " ", row.key.second, ": ",
                                              opened.status().message()));
    }
    const Secret plain(*std::move(opened));
    Statement update(db_, "UPDATE version SET body = ? WHERE kind = ? AND name = ? AND revision = ?");
    update.Blob(box.Seal(plain.Reveal(), place)).Integer(kind).Text(row.key.second).Integer(row.revision);
    if (update.Step() != SQLITE_DONE) return Error("cannot write");
    if (++sealed % kProgress == 0) progress(sealed, rows.size());
  }
  std::vector<std::pair<std::string, std::string>> keys;
  {
    Statement select(db_, "SELECT key, value FROM meta WHERE key GLOB 'key_for *'");
    int rc;
    while ((rc = select.Step()) == SQLITE_ROW) keys.emplace_back(select.GetBytes(0), select.GetBytes(1));
    if (rc != SQLITE_DONE) return Error("cannot read the keys");
  }
  for (const auto& [row, value] : keys) {
    GH_ASSIGN_OR_RETURN(const Secret plain, OpenKey(row, value));
    Statement update(db_, "UPDATE meta SET value = ? WHERE key = ?");
    update.Text(absl::BytesToHexString(box.Seal(plain.Reveal(), KeyPlace(row)))).Text(row);
    if (update.Step() != SQLITE_DONE) return Error("cannot write");
    ++sealed;
  }
  Statement check(db_, "UPDATE meta SET value = ? WHERE key = 'key_check'");
  if (check.Text(box.Fingerprint()).Step() != SQLITE_DONE) return Error("cannot write");
  progress(sealed, sealed);
  return absl::OkStatus();
}

absl::Status SqliteStore::Create() {
  GH_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  absl::Status status = Run(kSchema);
  const std::pair<const char*, std::string> rows[] = {
      {"schema_version", kSchemaVersion}, {"incarnation", HexLower(RandomBytes(16))}, {"key_check", box_.Fingerprint()}};
  for (const auto& [key, value] : rows) {
    if (!status.ok()) break;
    Statement insert(db_, "INSERT INTO meta(key, value) VALUES (?, ?)");
    if (insert.Text(key).Text(value).Step() != SQLITE_DONE) status = Error("cannot create the store");
  }
  return End(std::move(status));
}

absl::Status SqliteStore::End(absl::Status status) {
  const bool whole = status.ok();
  if (whole) status = Run("COMMIT");
  if (status.ok()) return status;
  // SQLite may have rolled back already; then this says so and nothing else.
  if (sqlite3_get_autocommit(db_) == 0) Run("ROLLBACK").IgnoreError();
  // What failed may have been the sync behind the last frame: SQLite then forgets a commit that is whole in the log, where the next
  // start would find it. Another write takes its place there.
  if (whole && !Run("PRAGMA user_version = 0").ok()) {
    return absl::Status(status.code(), absl::StrCat(status.message(), "; a restart may bring it back, until something is written"));
  }
  return status;
}

absl::Status SqliteStore::Run(const char* sql) {
  return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus() : Error(sql);
}

absl::Status SqliteStore::Error(const char* doing) {
  const int code = sqlite3_extended_errcode(db_);
  const std::string cause = absl::StrCat("store ", path_, ": ");
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::FailedPreconditionError(absl::StrCat(cause, "locked by another process"));
    case SQLITE_NOTADB:
      return absl::DataLossError(absl::StrCat(cause, "not a database"));
    case SQLITE_CORRUPT:
      return absl::DataLossError(absl::StrCat(cause, "damaged (", sqlite3_errmsg(db_), ")"));
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return absl::FailedPreconditionError(absl::StrCat(cause, "read-only"));
    case SQLITE_CANTOPEN:
      return absl::FailedPreconditionError(absl::StrCat(cause, "cannot be opened"));
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(cause, "the disk is full"));
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(absl::StrCat(cause, "out of memory"));
    case SQLITE_TOOBIG:
      return absl::InvalidArgumentError(absl::StrCat(cause, "a resource is too large"));
    default:
      return absl::UnavailableError(absl::StrCat(cause, doing, ": ", sqlite3_errmsg(db_), " (", code, ")"));
  }
}

absl::StatusOr<std::string> SqliteStore::Meta(const char* key) {
  Statement select(db_, "SELECT value FROM meta WHERE key = ?");
  switch (select.Text(key).Step()) {
    case SQLITE_ROW: return select.GetBytes(0);
    case SQLITE_DONE: return std::string();
    default: return Error("not a store of this program");
  }
}

absl::StatusOr<uint64_t> SqliteStore::HeadLocked() {
  Statement select(db_, "SELECT coalesce(max(revision), 0) FROM revision");
  if (select.Step() != SQLITE_ROW) return Error("cannot read the head");
  return select.GetInteger(0);
}

absl::StatusOr<uint64_t> SqliteStore::Head() {
  MutexLock lock(&mutex_);
  return HeadLocked();
}

std::string SqliteStore::Place(const ResourceKey& key, uint64_t revision) const {
  std::string place;
  AppendField(&place, incarnation_);
  AppendField(&place, static_cast<uint64_t>(key.first));
  AppendField(&place, key.second);
  AppendField(&place, revision);
  return place;
}

std::string SqliteStore::KeyPlace(const std::string& row) const {
  std::string place;
  AppendField(&place, incarnation_);
  AppendField(&place, row);
  return place;
}

absl::StatusOr<Secret> SqliteStore::OpenKey(const std::string& row, const std::string& value) {
  auto opened = box_.Open(absl::HexStringToBytes(value), KeyPlace(row));
  if (!opened.ok()) return absl::DataLossError(absl::StrCat("store ", path_, ": ", row, ": ", opened.status().message()));
  return Secret(*std::move(opened));
}

absl::StatusOr<Secret> SqliteStore::KeyFor(const std::string& name) {
  const std::string row = absl::StrCat("key_for ", name);
  MutexLock lock(&mutex_);
  GH_ASSIGN_OR_RETURN(const std::string value, Meta(row.c_str()));
  if (!value.empty()) return OpenKey(row, value);
  Secret key(RandomBytes(SecretBox::kKeyBytes));
  Statement insert(db_, "INSERT INTO meta(key, value) VALUES (?, ?)");
  insert.Text(row).Text(absl::BytesToHexString(box_.Seal(key.Reveal(), KeyPlace(row))));
  if (insert.Step() != SQLITE_DONE) return Error("cannot write");
  return key;
}

absl::StatusOr<StateRef> SqliteStore::Load(uint64_t revision) {
  MutexLock lock(&mutex_);
  GH_ASSIGN_OR_RETURN(const uint64_t head, HeadLocked());
  if (revision > head) return absl::NotFoundError(absl::StrCat("no revision ", revision));
  if (revision == 0) revision = head;
  auto state = std::make_shared<State>();
  state->revision = revision;
  // SQLite takes a bare column from the row that has the maximum.
  Statement select(db_,
                   "SELECT kind, name, body, max(revision) FROM version WHERE revision <= ? GROUP BY kind, name");
  select.Integer(revision);
  int rc;
  while ((rc = select.Step()) == SQLITE_ROW) {
    if (select.IsNull(2)) continue;
    const ResourceKey key(static_cast<int>(select.GetInteger(0)), select.GetBytes(1));
    std::string body = select.GetBytes(2);
    if (IsSealed(key, body)) {
      auto opened = box_.Open(body, Place(key, select.GetInteger(3)));
      if (!opened.ok()) {
        return absl::DataLossError(absl::StrCat("store ", path_, ": ", v1::Kind_Name(key.first), " ", key.second, ": ",
                                                opened.status().message()));
      }
      body = *std::move(opened);
    }
    auto resource = std::make_shared<v1::Resource>();
    if (!resource->ParseFromString(body) || KeyOf(*resource) != key) {
      return absl::DataLossError(
          absl::StrCat("store ", path_, ": ", v1::Kind_Name(key.first), " ", key.second, " is damaged"));
    }
    state->resources[key] = std::move(resource);
  }
  if (rc != SQLITE_DONE) return Error("cannot read the configuration");
  return state;
}

absl::StatusOr<uint64_t> SqliteStore::Commit(const Transaction& transaction) {
  MutexLock lock(&mutex_);
  if (!transaction.request_id.empty()) {
    Statement seen(db_, "SELECT revision FROM revision WHERE request_id = ?");
    const int rc = seen.Text(transaction.request_id).Step();
    if (rc == SQLITE_ROW) return seen.GetInteger(0);
    if (rc != SQLITE_DONE) return Error("cannot look for the request");
  }
  GH_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  auto head = HeadLocked();
  absl::Status status = head.status();
  if (status.ok() && *head != transaction.expected_revision) {
    status = absl::AbortedError(absl::StrCat("the current revision is ", *head, ", not ",
                                             transaction.expected_revision));
  }
  if (status.ok()) status = Write(transaction, *head + 1);
  GH_RETURN_IF_ERROR(End(std::move(status)));
  return *head + 1;
}

absl::Status SqliteStore::Write(const Transaction& transaction, uint64_t revision) {
  Statement insert(db_,
                   "INSERT INTO revision(revision, parent, time, actor, message, request_id, changes)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?)");
  insert.Integer(revision).Integer(revision - 1).Integer(static_cast<uint64_t>(absl::ToUnixNanos(transaction.time)));
  insert.Text(transaction.actor).Text(transaction.message);
  if (transaction.request_id.empty()) {
    insert.Null();
  } else {
    insert.Text(transaction.request_id);
  }
  if (insert.Blob(SerializeRecord(transaction)).Step() != SQLITE_DONE) return Error("cannot write");
  constexpr char kVersion[] = "INSERT INTO version(kind, name, revision, body) VALUES (?, ?, ?, ?)";
  for (const ResourceKey& key : transaction.deletions) {
    Statement version(db_, kVersion);
    version.Integer(static_cast<uint64_t>(key.first)).Text(key.second).Integer(revision).Null();
    if (version.Step() != SQLITE_DONE) return Error("cannot write");
  }
  for (const auto& resource : transaction.upserts) {
    const ResourceKey key = KeyOf(*resource);
    std::string body = resource->SerializeAsString();
    if (HoldsSecrets(key.first) || HoldsSecrets(*resource)) body = box_.Seal(body, Place(key, revision));
    Statement version(db_, kVersion);
    version.Integer(static_cast<uint64_t>(key.first)).Text(key.second).Integer(revision).Blob(body);
    if (version.Step() != SQLITE_DONE) return Error("cannot write");
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SqliteStore::Append(absl::Span<const Entry> entries) {
  MutexLock lock(&mutex_);
  GH_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  auto head = HeadLocked();
  absl::Status status = head.status();
  for (const Entry& entry : entries) {
    if (status.ok()) status = WriteEntry(entry, *head);
  }
  GH_RETURN_IF_ERROR(End(std::move(status)));
  return *head;
}

absl::Status SqliteStore::WriteEntry(const Entry& entry, uint64_t revision) {
  const auto kind = static_cast<uint64_t>(entry.kind);
  const std::string& who = entry.IsRefusal() ? entry.account : entry.actor;
  std::optional<v1::Revision> before;
  if (entry.kind != Entry::Kind::kWrite) {
    Statement select(db_, entry.IsRefusal()
                              ? "SELECT entry, record FROM entry WHERE routine = ?1 AND actor = ?2 ORDER BY entry DESC LIMIT 1"
                              : "SELECT entry, record FROM entry WHERE routine = ?1 AND actor = ?2 AND method = ?3");
    select.Integer(kind).Text(who);
    if (!entry.IsRefusal()) select.Text(entry.method);
    const int rc = select.Step();
    if (rc == SQLITE_ROW) {
      v1::Revision last;
      // One that cannot be read is counted anew.
      const bool readable = last.ParseFromString(select.GetBytes(1));
      if (Replaces(entry, last)) {
        if (readable) before = std::move(last);
        Statement remove(db_, "DELETE FROM entry WHERE entry = ?");
        if (remove.Integer(select.GetInteger(0)).Step() != SQLITE_DONE) return Error("cannot write");
      }
    } else if (rc != SQLITE_DONE) {
      return Error("cannot look for the entry");
    }
  }
  Statement insert(db_, "INSERT INTO entry(revision, method, actor, routine, record) VALUES (?, ?, ?, ?, ?)");
  insert.Integer(revision).Text(entry.method).Text(who).Integer(kind);
  insert.Blob(RecordOf(entry, before.has_value() ? &*before : nullptr).SerializeAsString());
  if (insert.Step() != SQLITE_DONE) return Error("cannot write");
  if (!entry.IsRefusal()) {
    Statement trim(db_,
                   "DELETE FROM entry WHERE method = ?1 AND routine <= 1 AND entry <="
                   " (SELECT entry FROM entry WHERE method = ?1 AND routine <= 1 ORDER BY entry DESC LIMIT 1 OFFSET ?2)");
    return trim.Text(entry.method).Integer(kMostEntries).Step() == SQLITE_DONE ? absl::OkStatus() : Error("cannot write");
  }
  Statement of_one(db_,
                   "DELETE FROM entry WHERE routine = ?1 AND actor = ?2 AND entry <="
                   " (SELECT entry FROM entry WHERE routine = ?1 AND actor = ?2 ORDER BY entry DESC LIMIT 1 OFFSET ?3)");
  if (of_one.Integer(kind).Text(who).Integer(kMostRefusals).Step() != SQLITE_DONE) return Error("cannot write");
  Statement of_all(db_,
                   "DELETE FROM entry WHERE routine = ?1 AND entry <="
                   " (SELECT entry FROM entry WHERE routine = ?1 ORDER BY entry DESC LIMIT 1 OFFSET ?2)");
  if (of_all.Integer(kind).Integer(kMostEntries).Step() != SQLITE_DONE) return Error("cannot write");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::Revision>> SqliteStore::History(const HistoryQuery& query) {
  MutexLock lock(&mutex_);
  std::vector<v1::Revision> revisions, entries;
  if (query.show != v1::HistoryRequest::REFUSALS) {
    GH_ASSIGN_OR_RETURN(revisions, Revisions(query));
  }
  if (query.show != v1::HistoryRequest::CONFIGURATION) {
    GH_ASSIGN_OR_RETURN(entries, Entries(query));
  }
  return Merge(std::move(revisions), std::move(entries), query);
}

absl::StatusOr<std::vector<v1::Revision>> SqliteStore::Revisions(const HistoryQuery& query) {
  // A revision stands below its entries.
  const uint64_t below = query.before.has_value() ? query.before->revision + (query.before->entry > 0 ? 1 : 0) : INT64_MAX;
  Statement select(db_,
                   "SELECT revision, parent, time, actor, message, changes FROM revision"
                   " WHERE revision < ? ORDER BY revision DESC LIMIT ?");
  select.Integer(below).Integer(static_cast<uint64_t>(query.limit));
  Page page(query);
  int rc = SQLITE_DONE;
  while (!page.full() && (rc = select.Step()) == SQLITE_ROW) {
    v1::Revision record;
    if (!record.ParseFromString(select.GetBytes(5))) {
      return absl::DataLossError(absl::StrCat("store ", path_, ": history of revision ", select.GetInteger(0),
                                              " is damaged"));
    }
    record.set_revision(select.GetInteger(0));
    record.set_parent(select.GetInteger(1));
    SetTime(absl::FromUnixNanos(static_cast<int64_t>(select.GetInteger(2))), record.mutable_time());
    record.set_actor(select.GetBytes(3));
    record.set_message(select.GetBytes(4));
    page.Add(std::move(record));
  }
  if (rc != SQLITE_DONE && rc != SQLITE_ROW) return Error("cannot read the history");
  return std::move(page).records();
}

absl::StatusOr<std::vector<v1::Revision>> SqliteStore::Entries(const HistoryQuery& query) {
  const HistoryQuery::Place before = query.before.value_or(HistoryQuery::Place{INT64_MAX, 0});
  Statement select(db_,
                   "SELECT revision, entry, record FROM entry WHERE (revision, entry) < (?, ?)"
                   " AND (routine = 0 AND ? OR routine = 1 AND ? OR routine >= 2 AND ?) ORDER BY revision DESC, entry DESC LIMIT ?");
  select.Integer(before.revision).Integer(before.entry);
  for (Entry::Kind kind : {Entry::Kind::kWrite, Entry::Kind::kRoutine, Entry::Kind::kRefusal}) select.Integer(Shows(query.show, kind) ? 1 : 0);
  select.Integer(static_cast<uint64_t>(query.limit));
  Page page(query);
  int rc = SQLITE_DONE;
  while (!page.full() && (rc = select.Step()) == SQLITE_ROW) {
    v1::Revision record;
    if (!record.ParseFromString(select.GetBytes(2))) {
      return absl::DataLossError(absl::StrCat("store ", path_, ": entry ", select.GetInteger(1), " of the history is damaged"));
    }
    record.set_revision(select.GetInteger(0));
    record.set_parent(select.GetInteger(0));
    record.set_entry(select.GetInteger(1));
    page.Add(std::move(record));
  }
  if (rc != SQLITE_DONE && rc != SQLITE_ROW) return Error("cannot read the history");
  return std::move(page).records();
}

}  // namespace gatehouse::store
