// SessionCache remembers TLS sessions for resumption, in our own memory and not in tickets: a trust change can purge them,
// and a resumption decodes nothing. Records are slim: the secret, what it is bound to, and whatever the server attached.
//
// Ownership:  holds records by value; `user` is shared with whoever stored it.
// Threading:  thread-safe; shared by the workers (16 shards, each with its mutex).
// Units:      capacity in records (about 210 bytes each), fewer when what is attached weighs too much together; lifetimes in
//             wall-clock seconds.
// Errors:     none; a miss is std::nullopt, and only costs a full handshake. When full, the oldest go first.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/base/mutex.h"

namespace gatehouse::tls {

// SessionBinding is what the server attaches to a session that it allows to be stored.
struct SessionBinding {
  std::shared_ptr<const void> user;  // identity, verdict, leaf: opaque here
  size_t weight = 0;                 // octets that it takes
};

// There is one for each client that may come back: the order of its fields leaves no gaps.
struct SessionRecord {
  std::array<uint8_t, 32> id{};
  std::array<uint8_t, 48> master_key{};  // secret: wiped when the record dies
  uint8_t id_length = 0;
  uint8_t master_key_length = 0;
  uint16_t cipher = 0;   // IANA number
  uint16_t version = 0;  // TLS1_2_VERSION or TLS1_3_VERSION
  bool had_certificate = false;
  uint32_t lifetime_seconds = 0;
  absl::Time created;
  Sha256Digest context{};  // NameConfig::session_context and server name under which it was made
  SessionBinding binding;

  absl::string_view Id() const { return absl::string_view(reinterpret_cast<const char*>(id.data()), id_length); }
  absl::Duration lifetime() const { return absl::Seconds(lifetime_seconds); }

  SessionRecord() = default;
  SessionRecord(const SessionRecord&) = default;
  SessionRecord& operator=(const SessionRecord&) = default;
  ~SessionRecord();
};

class SessionCache {
 public:
  // REQUIRES: capacity > 0. `max_weight` in octets; of each shard the latest record stays, whatever it weighs.
  explicit SessionCache(size_t capacity, size_t max_weight = SIZE_MAX);

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
  using Records = std::list<SessionRecord>;
  // A record is found by the identifier that it holds, so that there is no second copy of that.
  struct Hash {
    using is_transparent = void;
    size_t operator()(absl::string_view id) const { return absl::HashOf(id); }
    size_t operator()(Records::iterator record) const { return absl::HashOf(record->Id()); }
  };
  struct Same {
    using is_transparent = void;
    static absl::string_view Id(absl::string_view id) { return id; }
    static absl::string_view Id(Records::iterator record) { return record->Id(); }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Id(a) == Id(b);
    }
  };
  using Index = absl::flat_hash_set<Records::iterator, Hash, Same>;
  struct Shard {
    mutable Mutex mutex;
    Records records ABSL_GUARDED_BY(mutex);  // the latest first
    Index by_id ABSL_GUARDED_BY(mutex);
    size_t weight ABSL_GUARDED_BY(mutex) = 0;

    Records::iterator Erase(Records::iterator record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  };
  Shard& ShardOf(absl::string_view id) { return shards_[id.empty() ? 0 : static_cast<unsigned char>(id.back()) % kShards]; }

  const size_t shard_capacity_, shard_max_weight_;
  std::deque<Shard> shards_;
};

}  // namespace gatehouse::tls
