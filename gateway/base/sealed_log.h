// SealedLog is a list on disk that grows by sealed records: only we can read them, and nobody can change, move or repeat one unseen.
// An append that a crash cut short is no record.
//
// Ownership:  owns its key and, between Append and Drop, the file.
// Threading:  thread-compatible.
// Errors:     Load: DATA_LOSS (damaged, or sealed with another key), UNAVAILABLE. Append: UNAVAILABLE naming the file; Drop it then.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/secret_box.h"

namespace gatehouse {

class SealedLog {
 public:
  // `place` is bound to the seals. The file's folder exists.
  SealedLog(std::string path, std::string place, SecretBox box)
      : path_(std::move(path)), place_(std::move(place)), box_(std::move(box)) {}
  ~SealedLog();
  SealedLog(SealedLog&& other) noexcept;
  SealedLog& operator=(SealedLog&&) = delete;

  // Load returns the records in order; none when there is no file.
  absl::StatusOr<std::vector<std::string>> Load() const;
  // Append is durable when it returns. REQUIRES: Drop was called once: a log goes on in the process that began it.
  absl::Status Append(absl::string_view plain);
  // Drop removes all records.
  void Drop();

  uint64_t bytes() const { return bytes_; }

 private:
  std::string PlaceOf(uint64_t number) const;

  std::string path_, place_;
  SecretBox box_;
  int fd_ = -1;
  uint64_t records_ = 0;  // appended
  uint64_t bytes_ = 0;    // likewise
};

}  // namespace gatehouse
