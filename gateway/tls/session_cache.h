// SessionCache remembers TLS sessions for resumption, in our own memory and not in tickets: a trust change can purge them,
// and a resumption decodes nothing. Records are slim: the secret, what it is bound to, and whatever the server attached.
//
// Ownership:  holds records by value; `user` is shared with whoever stored it.
// Threading:  thread-safe; shared by the workers (16 shards, each with its mutex).
// Units:      capacity in records (about 400 bytes each); lifetimes in wall-clock seconds.
// Errors:     none; a miss is std::nullopt, and only costs a full handshake. When full, the oldest goes first.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"

namespace gatehouse::tls {

// SessionBinding is what the server attaches to a session that it allows to be stored.
struct SessionBinding {
  std::shared_ptr<const void> user;  // identity, verdict, leaf: opaque here
  uint64_t epoch = 0;                // of what the verdict depended on; the server compares it in MayResume
};

struct SessionRecord {
  std::array<uint8_t, 32> id{};
  uint8_t id_length = 0;
  std::array<uint8_t, 48> master_key{};  // secret: wiped when the record dies
  uint8_t master_key_length = 0;
  uint16_t cipher = 0;   // IANA number
  uint16_t version = 0;  // TLS1_2_VERSION or TLS1_3_VERSION
  absl::Time created;
  absl::Duration lifetime;
  Sha256Digest context{};  // NameConfig::session_context and server name under which it was made
  bool had_certificate = false;
  SessionBinding binding;

  SessionRecord() = default;
  SessionRecord(const SessionRecord&) = default;
  SessionRecord& operator=(const SessionRecord&) = default;
  ~SessionRecord();
};

class SessionCache {
 public:
  // REQUIRES: capacity > 0.
  explicit SessionCache(size_t capacity);

  void Put(const SessionRecord& record);
  // Take returns the record of `id` if it is still alive at `now`. A TLS 1.3 record is removed: it is good once.
  std::optional<SessionRecord> Take(absl::string_view id, absl::Time now);
  void Remove(absl::string_view id);
  // Purge removes those for which `gone` is true and returns how many.
  size_t Purge(absl::FunctionRef<bool(const SessionRecord&)> gone);
  void Clear();
  size_t size() const;

 private:
  static constexpr size_t kShards = 16;
  using Key = std::array<uint8_t, 33>;  // the identifier, and its length
  struct Shard {
    explicit Shard(size_t capacity) : records(capacity) {}
    mutable Mutex mutex;
    LruCache<Key, SessionRecord> records ABSL_GUARDED_BY(mutex);
  };
  static Key KeyOf(absl::string_view id);
  Shard& ShardOf(absl::string_view id) { return shards_[id.empty() ? 0 : static_cast<unsigned char>(id.back()) % kShards]; }

  std::deque<Shard> shards_;
};

}  // namespace gatehouse::tls
