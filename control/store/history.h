// What the stores' histories have in common: entries that changed no configuration, and their place among revisions.
//
//   revision 2 | entry 7, entry 6 | revision 1 | entry 5 ...        newest first: an entry stands above the revision that was in force
//
// Threading:  pure functions.
#pragma once

#include <utility>
#include <vector>

#include "control/store/store.h"

namespace gatehouse::store {

// Whether `entry` takes the place of `last`, which is the last of the same kind by the same actor and method, or of the account.
bool Replaces(const Entry& entry, const v1::Revision& last);

// The entry as the history shows it, without its numbers. `before`, which may be null, is the one that it stands for, too.
v1::Revision RecordOf(const Entry& entry, const v1::Revision* before);

bool Shows(v1::HistoryRequest::Show show, Entry::Kind kind);

// Whether `record` is older than `place`.
bool IsBefore(const v1::Revision& record, const HistoryQuery::Place& place);

// Adds up records until the query wants no more of them.
class Page {
 public:
  explicit Page(const HistoryQuery& query) : query_(query) {}
  bool full() const {
    return records_.size() >= static_cast<size_t>(query_.limit) || (records_.size() > 1 && octets_ > query_.max_octets);
  }
  void Add(v1::Revision record) {
    octets_ += record.ByteSizeLong();
    records_.push_back(std::move(record));
  }
  std::vector<v1::Revision> records() && { return std::move(records_); }

 private:
  const HistoryQuery& query_;
  std::vector<v1::Revision> records_;
  size_t octets_ = 0;
};

// The newest that the query wants of two lists that are in order, of each of which it wants no more.
std::vector<v1::Revision> Merge(std::vector<v1::Revision> revisions, std::vector<v1::Revision> entries, const HistoryQuery& query);

void SetTime(absl::Time time, google::protobuf::Timestamp* out);

}  // namespace gatehouse::store
