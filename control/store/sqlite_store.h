// SqliteStore is a Store in one SQLite file: write-ahead log, synchronous=FULL, locked by one process.
//
//   meta(key, value)                        schema version, incarnation, check of the secret key
//   revision(revision, parent UNIQUE, …)    the line; UNIQUE keeps it one
//   version(kind, name, revision, body)     what a revision made of a resource; NULL: removed
//
// Bodies of kinds that hold secrets (server certificates, user stores) are sealed with AES-256-GCM under the key in
// `secret.key` beside the database, bound to their place, so that a copy of the database alone tells no secret and a
// body moved elsewhere does not open.
//
// Threading:  thread-safe; one connection behind a mutex.
#pragma once

#include <memory>
#include <string>

#include "gateway/base/secret_box.h"
#include "control/store/store.h"
#include "gateway/base/mutex.h"
#include "gateway/base/secret.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gatehouse::store {

struct SqliteOptions {
  std::string path;      // of the database
  std::string key_file;  // empty: `secret.key` in the database's directory
  // SQLite VFS to use; empty: the system's, and then the directory (0700) and the file (0600) are made if absent and
  // refused if open to others. With a VFS of another name nothing but `key` is looked at.
  std::string vfs;
  Secret key;            // 32 octets; empty: from the key file, which is made if absent
};

class SqliteStore final : public Store {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(SqliteOptions options);
  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  const std::string& incarnation() const override { return incarnation_; }
  absl::StatusOr<uint64_t> Head() override;
  absl::StatusOr<StateRef> Load(uint64_t revision) override;
  absl::StatusOr<uint64_t> Commit(const Transaction& transaction) override;
  absl::StatusOr<std::vector<v1::Revision>> History(uint64_t before, int limit) override;

 private:
  class Statement;
  SqliteStore(std::string path, SecretBox box) : path_(std::move(path)), box_(std::move(box)) {}

  absl::Status Connect(const std::string& vfs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Prepare() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Create() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Run(const char* sql) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Write(const Transaction& transaction, uint64_t revision) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<uint64_t> HeadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::string> Meta(const char* key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Error(const char* doing) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Place(const ResourceKey& key, uint64_t revision) const;

  const std::string path_;
  const SecretBox box_;
  std::string incarnation_;
  Mutex mutex_;
  sqlite3* db_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace gatehouse::store
