#include "control/store/memory_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/secret_box.h"

namespace gatehouse::store {

MemoryStore::MemoryStore() : incarnation_(HexLower(RandomBytes(16))) {
  states_.push_back(std::make_shared<State>());
}

absl::StatusOr<uint64_t> MemoryStore::Head() {
  MutexLock lock(&mutex_);
  return states_.back()->revision;
}

absl::StatusOr<StateRef> MemoryStore::Load(uint64_t revision) {
  MutexLock lock(&mutex_);
  if (revision == 0) return states_.back();
  if (revision >= states_.size()) return absl::NotFoundError(absl::StrCat("no revision ", revision));
  return states_[revision];
}

absl::StatusOr<uint64_t> MemoryStore::Commit(const Transaction& transaction) {
  MutexLock lock(&mutex_);
  if (!transaction.request_id.empty()) {
    auto it = requests_.find(transaction.request_id);
    if (it != requests_.end()) return it->second;
  }
  const State& head = *states_.back();
  if (transaction.expected_revision != head.revision) {
    return absl::AbortedError(absl::StrCat("the current revision is ", head.revision, ", not ",
                                           transaction.expected_revision));
  }
  auto next = std::make_shared<State>(head);
  next->revision = head.revision + 1;
  for (const ResourceKey& key : transaction.deletions) next->resources.erase(key);
  for (const auto& resource : transaction.upserts) next->resources[KeyOf(*resource)] = resource;
  v1::Revision& record = history_.emplace_back();
  record.set_revision(next->revision);
  record.set_parent(head.revision);
  record.mutable_time()->set_seconds(absl::ToUnixSeconds(transaction.time));
  record.mutable_time()->set_nanos(static_cast<int32_t>(absl::ToUnixNanos(transaction.time) % 1'000'000'000));
  record.set_actor(transaction.actor);
  record.set_message(transaction.message);
  record.set_peer(transaction.peer);
  record.set_method(transaction.method);
  for (const v1::Change& change : transaction.changes) *record.add_changes() = change;
  if (!transaction.request_id.empty()) requests_[transaction.request_id] = next->revision;
  states_.push_back(std::move(next));
  return states_.back()->revision;
}

absl::StatusOr<Secret> MemoryStore::KeyFor(const std::string& name) {
  MutexLock lock(&mutex_);
  Secret& key = keys_[name];
  if (key.empty()) key = Secret(RandomBytes(SecretBox::kKeyBytes));
  return Secret(key.Reveal());
}

absl::StatusOr<std::vector<v1::Revision>> MemoryStore::History(uint64_t before, int limit) {
  MutexLock lock(&mutex_);
  size_t end = before == 0 ? history_.size() : std::min<size_t>(history_.size(), before - 1);
  std::vector<v1::Revision> page;
  while (end > 0 && page.size() < static_cast<size_t>(limit)) page.push_back(history_[--end]);
  return page;
}

}  // namespace gatehouse::store
