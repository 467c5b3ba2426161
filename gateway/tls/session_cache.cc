#include "gateway/tls/session_cache.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <utility>

namespace gatehouse::tls {
namespace {

std::string IdOf(const SessionRecord& record) {
  return std::string(reinterpret_cast<const char*>(record.id.data()), record.id_length);
}

}  // namespace

SessionRecord::~SessionRecord() { OPENSSL_cleanse(master_key.data(), master_key.size()); }

SessionCache::SessionCache(size_t capacity)
    : shard_capacity_((capacity + kShards - 1) / kShards) {}

SessionCache::Shard& SessionCache::ShardOf(absl::string_view id) {
  return shards_[id.empty() ? 0 : static_cast<unsigned char>(id.back()) % kShards];
}

void SessionCache::Put(const SessionRecord& record) {
  std::string id = IdOf(record);
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mutex);
  while (shard.records.size() >= shard_capacity_ && !shard.order.empty()) {
    shard.records.erase(shard.order.front());
    shard.order.pop_front();
  }
  // Names of taken records pile up in `order`: drop them before they outnumber the living.
  if (shard.order.size() >= 2 * shard_capacity_ + 16) {
    std::erase_if(shard.order, [&](const std::string& name) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return !shard.records.contains(name);
    });
  }
  if (shard.records.insert_or_assign(id, record).second) shard.order.push_back(std::move(id));
}

std::optional<SessionRecord> SessionCache::Take(absl::string_view id, absl::Time now) {
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mutex);
  auto it = shard.records.find(id);
  if (it == shard.records.end()) return std::nullopt;
  // Of the future: the clock was set back, and how old it is cannot be told.
  if (now >= it->second.created + it->second.lifetime || now < it->second.created - absl::Minutes(5)) {
    shard.records.erase(it);
    return std::nullopt;
  }
  SessionRecord record = it->second;
  if (record.version == TLS1_3_VERSION) shard.records.erase(it);
  return record;
}

void SessionCache::Remove(absl::string_view id) {
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mutex);
  shard.records.erase(id);
}

size_t SessionCache::Purge(absl::FunctionRef<bool(const SessionRecord&)> gone) {
  size_t n = 0;
  for (Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    for (auto it = shard.records.begin(); it != shard.records.end();) {
      if (gone(it->second)) {
        shard.records.erase(it++);
        ++n;
      } else {
        ++it;
      }
    }
  }
  return n;
}

void SessionCache::Clear() {
  for (Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    shard.records.clear();
    shard.order.clear();
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
