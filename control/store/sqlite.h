// What every SQLite file of ours needs: prepared statements, and a file that is closed to others.
//
// Threading:  a Statement belongs to its connection's thread.
// Errors:     Step returns SQLite's code; PrepareDatabaseFile is FAILED_PRECONDITION and says what to do.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace gatehouse::store {

// One prepared statement; numbers its parameters from 1 in the order of binding.
class Statement {
 public:
  Statement(sqlite3* db, const char* sql) {
    if (sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr) != SQLITE_OK) statement_ = nullptr;
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Every call on a statement that did not compile fails with SQLITE_MISUSE in Step.
  Statement& Integer(uint64_t value) {
    if (statement_ != nullptr) sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(value));
    return *this;
  }
  Statement& Text(absl::string_view value) {
    if (statement_ != nullptr) {
      sqlite3_bind_text64(statement_, ++bound_, value.data() == nullptr ? "" : value.data(), value.size(),
                          SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    return *this;
  }
  Statement& Blob(absl::string_view value) {
    if (statement_ == nullptr) return *this;
    if (value.empty()) {
      sqlite3_bind_zeroblob(statement_, ++bound_, 0);
    } else {
      sqlite3_bind_blob64(statement_, ++bound_, value.data(), value.size(), SQLITE_TRANSIENT);
    }
    return *this;
  }
  Statement& Null() {
    if (statement_ != nullptr) sqlite3_bind_null(statement_, ++bound_);
    return *this;
  }
  int Step() { return statement_ == nullptr ? SQLITE_MISUSE : sqlite3_step(statement_); }
  uint64_t GetInteger(int column) const {
    return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
  }
  std::string GetBytes(int column) const {
    const void* data = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), static_cast<size_t>(size));
  }
  bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

// The directory of `path`.
std::string FolderOf(const std::string& path);

// PrepareDatabaseFile makes the directory (0700) and the file (0600) if they are not there, and refuses those that others
// may write.
absl::Status PrepareDatabaseFile(const std::string& path);

}  // namespace gatehouse::store
