#include "control/store/memory_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/store/history.h"
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
  SetTime(transaction.time, record.mutable_time());
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

absl::StatusOr<uint64_t> MemoryStore::Append(const Entry& entry) {
  MutexLock lock(&mutex_);
  std::optional<v1::Revision> before;
  const auto same = [&](const v1::Revision& e) { return e.routine() && e.method() == entry.method && e.actor() == entry.actor; };
  if (const auto found = std::find_if(entries_.begin(), entries_.end(), same); entry.routine && found != entries_.end()) {
    before = std::move(*found);
    entries_.erase(found);
  }
  v1::Revision& record = entries_.emplace_back(RecordOf(entry, before.has_value() ? &*before : nullptr));
  record.set_revision(states_.back()->revision);
  record.set_parent(record.revision());
  record.set_entry(++last_entry_);
  const auto alike = [&](const v1::Revision& e) { return e.method() == entry.method; };
  if (static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), alike)) > kMostEntries) {
    entries_.erase(std::find_if(entries_.begin(), entries_.end(), alike));
  }
  return states_.back()->revision;
}

absl::StatusOr<std::vector<v1::Revision>> MemoryStore::History(const HistoryQuery& query) {
  MutexLock lock(&mutex_);
  const auto page = [&](const std::vector<v1::Revision>& all) {
    std::vector<v1::Revision> found;
    for (auto it = all.rbegin(); it != all.rend() && found.size() < static_cast<size_t>(query.limit); ++it) {
      if (it->routine() && query.show != v1::HistoryRequest::EVERYTHING) continue;
      if (!query.before.has_value() || IsBefore(*it, *query.before)) found.push_back(*it);
    }
    return found;
  };
  return Merge(page(history_), query.show == v1::HistoryRequest::CONFIGURATION ? std::vector<v1::Revision>() : page(entries_), query.limit);
}

}  // namespace gatehouse::store
