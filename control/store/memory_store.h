// MemoryStore is a Store that a restart empties: for tests and trials.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/store/store.h"
#include "gateway/base/mutex.h"

namespace gatehouse::store {

class MemoryStore : public Store {
 public:
  MemoryStore();
  const std::string& incarnation() const override { return incarnation_; }
  absl::StatusOr<uint64_t> Head() override;
  absl::StatusOr<StateRef> Load(uint64_t revision) override;
  absl::StatusOr<uint64_t> Commit(const Transaction& transaction) override;
  absl::StatusOr<Secret> KeyFor(const std::string& name) override;
  using Store::Append;
  absl::StatusOr<uint64_t> Append(absl::Span<const Entry> entries) override;
  absl::StatusOr<std::vector<v1::Revision>> History(const HistoryQuery& query) override;

 private:
  struct Kept {
    Entry::Kind kind = Entry::Kind::kWrite;
    std::string account;
    v1::Revision record;
  };
  void AppendOne(const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Erases the oldest of those that `alike` is true of, if they are more than `most`.
  template <typename Alike>
  void Trim(size_t most, Alike alike) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string incarnation_;
  Mutex mutex_;
  std::vector<StateRef> states_ ABSL_GUARDED_BY(mutex_);      // by revision
  std::vector<v1::Revision> history_ ABSL_GUARDED_BY(mutex_);  // by revision - 1
  std::vector<Kept> entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_entry_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, uint64_t> requests_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Secret> keys_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::store
