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

absl::StatusOr<uint64_t> MemoryStore::Append(absl::Span<const Entry> entries) {
  MutexLock lock(&mutex_);
  for (const Entry& entry : entries) AppendOne(entry);
  return states_.back()->revision;
}

void MemoryStore::AppendOne(const Entry& entry) {
  std::optional<v1::Revision> before;
  const auto same = [&](const Kept& kept) {
    if (kept.kind != entry.kind) return false;
    if (entry.IsRefusal()) return kept.account == entry.account;
    return kept.record.method() == entry.method && kept.record.actor() == entry.actor;
  };
  if (const auto last = std::find_if(entries_.rbegin(), entries_.rend(), same);
      last != entries_.rend() && Replaces(entry, last->record)) {
    before = std::move(last->record);
    entries_.erase(std::next(last).base());
  }
  Kept& kept = entries_.emplace_back(Kept{entry.kind, entry.account, RecordOf(entry, before.has_value() ? &*before : nullptr)});
  kept.record.set_revision(states_.back()->revision);
  kept.record.set_parent(kept.record.revision());
  kept.record.set_entry(++last_entry_);
  if (entry.IsRefusal()) {
    Trim(kMostRefusals, same);
    Trim(kMostEntries, [&](const Kept& other) { return other.kind == entry.kind; });
  } else {
    Trim(kMostEntries, [&](const Kept& other) { return other.kind <= Entry::Kind::kRoutine && other.record.method() == entry.method; });
  }
}

template <typename Alike>
void MemoryStore::Trim(size_t most, Alike alike) {
  if (static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), alike)) > most) {
    entries_.erase(std::find_if(entries_.begin(), entries_.end(), alike));
  }
}

absl::StatusOr<std::vector<v1::Revision>> MemoryStore::History(const HistoryQuery& query) {
  MutexLock lock(&mutex_);
  Page revisions(query), entries(query);
  const auto add = [&](const v1::Revision& record, Page* page) {
    if (page->full()) return;
    if (!query.before.has_value() || IsBefore(record, *query.before)) page->Add(record);
  };
  if (query.show != v1::HistoryRequest::REFUSALS) {
    for (auto it = history_.rbegin(); it != history_.rend(); ++it) add(*it, &revisions);
  }
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    if (Shows(query.show, it->kind)) add(it->record, &entries);
  }
  return Merge(std::move(revisions).records(), std::move(entries).records(), query);
}

}  // namespace gatehouse::store
