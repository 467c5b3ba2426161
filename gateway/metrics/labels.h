// LabelTable gives names small numbers, so that a worker counts in an array and never hashes a string. It is bounded:
// when it is full every new name is `other`, so that a metric's cardinality has a ceiling.
//
// Threading: thread-safe. Intern when a snapshot is installed, never per request.
// Units:     capacity in names, the "other" of index 0 included.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "gateway/base/mutex.h"

namespace gatehouse::metrics {

class LabelTable {
 public:
  static constexpr uint16_t kOther = 0;

  explicit LabelTable(uint16_t capacity);

  // Intern returns the name's number, the same for the life of the table, or kOther when the table is full.
  uint16_t Intern(absl::string_view name);
  // Names by number; names[0] is "other".
  std::vector<std::string> Names() const;
  uint16_t capacity() const { return capacity_; }

 private:
  const uint16_t capacity_;
  mutable Mutex mutex_;
  std::vector<std::string> names_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, uint16_t> numbers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::metrics
