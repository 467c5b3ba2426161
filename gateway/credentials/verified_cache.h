// VerifiedCache remembers which credentials were verified, so that a slow password hash is paid
// once per TTL. It holds successes only and no password: the key is an HMAC under a random process
// key over scheme, user, stored hash and password. A changed user or hash misses by itself.
//
// Ownership:  holds digests.
// Threading:  thread-safe (sharded); shared by the workers and the verifier threads.
// Units:      capacity in entries of about 100 bytes.
// Errors:     none.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"

namespace gatehouse::credentials {

class VerifiedCache {
 public:
  using Key = Sha256Digest;

  explicit VerifiedCache(size_t capacity);

  Key KeyOf(absl::string_view scheme, absl::string_view user, absl::string_view stored_hash,
            absl::string_view password) const;
  // Fingerprint identifies a whole Authorization field for CheckMemo: one SHA-256 under the process
  // key.
  Sha256Digest Fingerprint(absl::string_view authorization) const;

  // Contains returns until when `key` is good, if it is good at `now`.
  std::optional<absl::Time> Contains(const Key& key, absl::Time now);
  void Put(const Key& key, absl::Time fresh_until);
  size_t size() const;

 private:
  static constexpr size_t kShards = 16;
  struct Shard {
    explicit Shard(size_t capacity) : entries(capacity) {}
    mutable Mutex mutex;
    LruCache<Key, absl::Time, DigestHash> entries ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(const Key& key) { return *shards_[key[31] % kShards]; }

  const std::string process_key_;
  std::array<std::unique_ptr<Shard>, kShards> shards_;
};

}  // namespace gatehouse::credentials
