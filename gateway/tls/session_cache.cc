#include "gateway/tls/session_cache.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>

namespace gatehouse::tls {

SessionRecord::~SessionRecord() { OPENSSL_cleanse(master_key.data(), master_key.size()); }

SessionCache::SessionCache(size_t capacity) {
  for (size_t i = 0; i < kShards; ++i) shards_.emplace_back((capacity + kShards - 1) / kShards);
}

SessionCache::Key SessionCache::KeyOf(absl::string_view id) {
  Key key{};
  std::memcpy(key.data(), id.data(), std::min(id.size(), key.size() - 1));
  key.back() = static_cast<uint8_t>(std::min<size_t>(id.size(), 255));  // one that is too long is nobody's
  return key;
}

void SessionCache::Put(const SessionRecord& record) {
  const absl::string_view id(reinterpret_cast<const char*>(record.id.data()), record.id_length);
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mutex);
  shard.records.Put(KeyOf(id), record);
}

std::optional<SessionRecord> SessionCache::Take(absl::string_view id, absl::Time now) {
  const Key key = KeyOf(id);
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mutex);
  const SessionRecord* found = shard.records.Peek(key);
  if (found == nullptr) return std::nullopt;
  // Of the future: the clock was set back, and how old it is cannot be told.
  std::optional<SessionRecord> record;
  if (now < found->created + found->lifetime && now >= found->created - absl::Minutes(5)) record = *found;
  if (!record.has_value() || record->version == TLS1_3_VERSION) shard.records.Erase(key);
  return record;
}

void SessionCache::Remove(absl::string_view id) {
  Shard& shard = ShardOf(id);
  MutexLock lock(&shard.mutex);
  shard.records.Erase(KeyOf(id));
}

size_t SessionCache::Purge(absl::FunctionRef<bool(const SessionRecord&)> gone) {
  size_t n = 0;
  for (Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    n += shard.records.EraseIf([&gone](const Key&, const SessionRecord& record) { return gone(record); });
  }
  return n;
}

void SessionCache::Clear() {
  for (Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    shard.records.Clear();
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
