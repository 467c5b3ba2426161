#include "gateway/server/trust_uses.h"

#include <algorithm>

namespace gatehouse::server {

TrustUses::TrustUses(size_t workers, absl::Time since) : since_(since) {
  for (size_t i = 0; i < workers; ++i) tables_.push_back(std::make_unique<Table>());
}

TrustUses::Cell* TrustUses::Table::Find(absl::string_view store, const Sha256Digest& what) {
  MutexLock lock(&mutex_);
  auto& of_store = index_[store];
  if (auto known = of_store.find(what); known != of_store.end()) return known->second;
  if (cells_.size() >= kMaxCells) return nullptr;
  return of_store[what] = &cells_.emplace_back();
}

std::vector<TrustUses::Use> TrustUses::Of(absl::string_view store) const {
  absl::flat_hash_map<Sha256Digest, Use, DigestHash> sums;
  for (const auto& table : tables_) {
    MutexLock lock(&table->mutex_);
    auto of_store = table->index_.find(store);
    if (of_store == table->index_.end()) continue;
    for (const auto& [what, cell] : of_store->second) {
      const uint64_t count = cell->count_.load(std::memory_order_relaxed);
      if (count == 0) continue;
      Use& use = sums[what];
      use.what = what;
      use.count += count;
      use.last = std::max(use.last, absl::FromUnixSeconds(cell->last_.load(std::memory_order_relaxed)));
    }
  }
  std::vector<Use> out;
  out.reserve(sums.size());
  for (const auto& [what, use] : sums) out.push_back(use);
  return out;
}

}  // namespace gatehouse::server
