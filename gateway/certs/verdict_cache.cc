#include "gateway/certs/verdict_cache.h"

#include <utility>

namespace gatehouse::certs {

VerdictCache::VerdictCache(size_t capacity, const Clock& clock)
    : valid_(capacity, capacity * kUsualFootprint), refused_(capacity, capacity * kUsualFootprint), clock_(clock) {}

VerdictRef VerdictCache::FindIn(Map* map, const Sha256Digest& digest, uint64_t epoch) {
  const Key key{digest, epoch};
  const VerdictRef* found = map->Find(key);
  if (found == nullptr) return nullptr;
  if (clock_.Now() >= (*found)->fresh_until) {
    map->Erase(key);
    return nullptr;
  }
  return *found;
}

VerdictRef VerdictCache::FindValid(const Sha256Digest& leaf, uint64_t epoch) {
  return FindIn(&valid_, leaf, epoch);
}

VerdictRef VerdictCache::FindRefused(const Sha256Digest& list, uint64_t epoch) {
  return FindIn(&refused_, list, epoch);
}

void VerdictCache::Store(const Sha256Digest& list, uint64_t epoch, VerdictRef verdict) {
  if (verdict == nullptr || verdict->outcome == Outcome::kIndeterminate) return;
  if (verdict->outcome == Outcome::kValid) {
    const Key key{verdict->leaf->sha256(), epoch};
    valid_.Put(key, std::move(verdict));
  } else {
    refused_.Put(Key{list, epoch}, std::move(verdict));
  }
}

void VerdictCache::Forget(uint64_t epoch) {
  const auto of_epoch = [epoch](const Key& key, const VerdictRef&) { return key.epoch == epoch; };
  valid_.EraseIf(of_epoch);
  refused_.EraseIf(of_epoch);
}

}  // namespace gatehouse::certs
