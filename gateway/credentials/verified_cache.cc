#include "gateway/credentials/verified_cache.h"

#include <openssl/crypto.h>

#include "gateway/base/fields.h"

namespace gatehouse::credentials {

VerifiedCache::VerifiedCache(size_t capacity) : process_key_(RandomBytes(64)) {
  for (auto& shard : shards_) shard = std::make_unique<Shard>(capacity / kShards + 1);
}

VerifiedCache::Key VerifiedCache::KeyOf(absl::string_view scheme, absl::string_view user,
                                        absl::string_view stored_hash,
                                        absl::string_view password) const {
  std::string message;
  message.reserve(32 + scheme.size() + user.size() + stored_hash.size() + password.size());
  AppendField(&message, scheme);
  AppendField(&message, user);
  AppendField(&message, stored_hash);
  AppendField(&message, password);
  const Key key = HmacSha256(process_key_, message);
  OPENSSL_cleanse(message.data(), message.size());
  return key;
}

Sha256Digest VerifiedCache::Fingerprint(absl::string_view authorization) const {
  // The digest is compared inside the process only, so the extension property of a bare prefix key
  // does not matter.
  std::string message;
  message.reserve(process_key_.size() + authorization.size());
  message.append(process_key_);
  message.append(authorization.data(), authorization.size());
  const Sha256Digest fingerprint = Sha256(message);
  OPENSSL_cleanse(message.data(), message.size());
  return fingerprint;
}

std::optional<absl::Time> VerifiedCache::Contains(const Key& key, absl::Time now) {
  Shard& shard = ShardOf(key);
  MutexLock lock(&shard.mutex);
  absl::Time* fresh_until = shard.entries.Find(key);
  if (fresh_until == nullptr) return std::nullopt;
  if (now >= *fresh_until) {
    shard.entries.Erase(key);
    return std::nullopt;
  }
  return *fresh_until;
}

void VerifiedCache::Put(const Key& key, absl::Time fresh_until) {
  Shard& shard = ShardOf(key);
  MutexLock lock(&shard.mutex);
  shard.entries.Put(key, fresh_until);
}

size_t VerifiedCache::size() const {
  size_t n = 0;
  for (const auto& shard : shards_) {
    MutexLock lock(&shard->mutex);
    n += shard->entries.size();
  }
  return n;
}

}  // namespace gatehouse::credentials
