// SqliteStore is a Store in one SQLite file: write-ahead log, synchronous=FULL, locked by one process.
//
//   meta(key, value)                        schema version, incarnation, check of the secret key; `key_for NAME`: a sealed key
//   revision(revision, parent UNIQUE, …)    the line; UNIQUE keeps it one
//   version(kind, name, revision, body)     what a revision made of a resource; NULL: removed
//   entry(entry, revision, routine, …)      writes that changed no configuration, and refused calls; `routine` is the Entry::Kind,
//                                           `actor` of a refused call the account
//
// Bodies of kinds that hold secrets (server certificates, user stores, schemes with a key) are sealed with AES-256-GCM under
// the key in `secret.key` beside the database, bound to their place, so that a copy of the database alone tells no secret and
// a body moved elsewhere does not open.
//
// A new key waits in `secret.key.new`, or in Options.new_key, until RotateKey. Opening tries the key, then the one that waits:
// so it does not matter where a rotation was interrupted.
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

namespace gatehouse::store {

struct SqliteOptions {
  std::string path;      // of the database
  std::string key_file;  // empty: `secret.key` in the database's directory
  // SQLite VFS to use; empty: the system's, and then the directory (0700) and the file (0600) are made if absent and
  // refused if open to others. With a VFS of another name nothing but `key` is looked at.
  std::string vfs;
  Secret key;            // 32 octets; empty: from the key file, which is made if absent and the store is new
  Secret new_key;        // with `key`: the one that waits; may be empty
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
  using Store::Append;
  absl::StatusOr<uint64_t> Append(absl::Span<const Entry> entries) override;
  absl::StatusOr<std::vector<v1::Revision>> History(const HistoryQuery& query) override;
  absl::StatusOr<Secret> KeyFor(const std::string& name) override;
  absl::StatusOr<std::string> RotateKey(const std::function<void(uint64_t, uint64_t)>& progress) override;

 private:
  SqliteStore(std::string path, std::string key_file, Secret key, Secret new_key)
      : path_(std::move(path)), key_file_(std::move(key_file)), new_key_(std::move(new_key)), box_(std::move(key)) {}

  absl::Status Connect(const std::string& vfs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Prepare() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Create() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Run(const char* sql) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends a transaction: commits it if `status` is OK and undoes it otherwise, so that a restart does not bring it back either.
  absl::Status End(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Write(const Transaction& transaction, uint64_t revision) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WriteEntry(const Entry& entry, uint64_t revision) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<v1::Revision>> Revisions(const HistoryQuery& query) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<v1::Revision>> Entries(const HistoryQuery& query) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<uint64_t> HeadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::string> Meta(const char* key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Error(const char* doing) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The key that waits; NOT_FOUND: none.
  absl::StatusOr<Secret> NewKey() const;
  absl::Status UseRightKey(const std::string& check) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SealAnew(const SecretBox& box, const std::function<void(uint64_t, uint64_t)>& progress)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Place(const ResourceKey& key, uint64_t revision) const;
  // Of a row of meta, which says whose key it is.
  std::string KeyPlace(const std::string& row) const;
  absl::StatusOr<Secret> OpenKey(const std::string& row, const std::string& value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  const std::string key_file_;  // empty: the key was given
  const Secret new_key_;
  std::string incarnation_;
  Mutex mutex_;
  SecretBox box_ ABSL_GUARDED_BY(mutex_);
  sqlite3* db_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace gatehouse::store
