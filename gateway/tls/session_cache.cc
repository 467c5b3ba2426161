#include "gateway/tls/session_cache.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <iterator>

namespace gatehouse::tls {

SessionRecord::~SessionRecord() { OPENSSL_cleanse(master_key.data(), master_key.size()); }

SessionCache::SessionCache(size_t capacity, size_t max_weight)
    : shard_capacity_(std::max<size_t>(1, (capacity + kShards - 1) / kShards)),
      shard_max_weight_(max_weight / kShards),
      shards_(kShards) {}

SessionCache::Records::iterator SessionCache::Shard::Erase(Records::iterator record) {
  by_id.erase(record);
  weight -= record->binding.weight;
  return records.erase(record);
}

void SessionCache::Put(const SessionRecord& record) {
  Shard& shard = ShardOf(record.Id());
  MutexLock lock(&shard.mutex);
  if (auto known = shard.by_id.find(record.Id()); known != shard.by_id.end()) shard.Erase(*known);
  shard.records.push_front(record);
  shard.by_id.insert(shard.records.begin());
  shard.weight += record.binding.weight;
  while (shard.records.size() > shard_capacity_ || (shard.weight > shard_max_weight_ && shard.records.size() > 1)) {
    shard.Erase(std::prev(shard.records.end()));
  }
}

std::optional<SessionRecord> SessionCache::Take(absl::string_view id, absl::Time now) {
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mutex);
  auto found = shard.by_id.find(id);
  if (found == shard.by_id.end()) return std::nullopt;
  const Records::iterator at = *found;
  // Of the future: the clock was set back, and how old it is cannot be told.
  std::optional<SessionRecord> record;
  if (now < at->created + at->lifetime() && now >= at->created - absl::Minutes(5)) record = *at;
  if (!record.has_value() || record->version == TLS1_3_VERSION) shard.Erase(at);
  return record;
}

void SessionCache::Remove(absl::string_view id) {
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mutex);
  if (auto found = shard.by_id.find(id); found != shard.by_id.end()) shard.Erase(*found);
}

size_t SessionCache::Purge(absl::FunctionRef<bool(const SessionRecord&)> gone) {
  size_t n = 0;
  for (Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    for (auto at = shard.records.begin(); at != shard.records.end();) {
      if (gone(*at)) {
        at = shard.Erase(at);
        ++n;
      } else {
        ++at;
      }
    }
  }
  return n;
}

void SessionCache::Clear() {
  for (Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    shard.by_id.clear();
    shard.records.clear();
    shard.weight = 0;
  }
}

size_t SessionCache::size() const {
  size_t n = 0;
  for (const Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    n += shard.records.size();
  }
  return n;
}

}  // namespace gatehouse::tls
