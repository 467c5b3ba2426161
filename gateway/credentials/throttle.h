// Throttle slows password guessing. Failures are counted per (scheme, user, address), unknown users
// alike: some are free, then each one doubles a delay, then the pair is locked out for a while. Per
// (scheme, user) over all addresses there is only a short delay, so that nobody can lock out
// somebody else, and an address from which this user was verified lately is spared even that.
// Attempts under way count, so that parallel guesses gain nothing.
//
// Ownership:  keeps digests of names and addresses, not their text.
// Threading:  thread-safe (sharded); shared by the workers and the verifier threads. A hit of
// VerifiedCache never comes here. Units:      times are wall-clock; capacity in entries of about
// 150 bytes, least recently used first out. Errors:     none.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/digest.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"

namespace gatehouse::credentials {

struct ThrottleOptions {
  uint32_t free_failures = 5;                     // per pair, no delay up to here
  absl::Duration first_delay = absl::Seconds(1);  // doubles with each further failure
  absl::Duration max_delay = absl::Seconds(30);
  uint32_t lockout_failures = 20;  // per pair, locked out from here on
  absl::Duration lockout = absl::Minutes(15);
  absl::Duration forget = absl::Minutes(15);  // a pair without failure for so long starts anew
  uint32_t user_free_failures = 50;           // per user over all addresses, no delay up to here
  absl::Duration user_delay = absl::Seconds(1);
  size_t capacity = 100'000;
};

// AddressKey is what counts as one address: an IPv4 address, the /64 of an IPv6 one, the text
// itself otherwise. `address` is an IP address as text without a port.
std::string AddressKey(absl::string_view address);

class Throttle {
 public:
  // REQUIRES: clock outlives this.
  Throttle(ThrottleOptions options, const Clock& clock);

  // Attempt is one admitted guess. Exactly one of Succeeded and Failed is called; one that dies
  // without either was never decided (the executor refused or dropped it) and does not count.
  class Attempt {
   public:
    Attempt(Attempt&& other) noexcept;
    Attempt& operator=(Attempt&&) = delete;
    ~Attempt();
    void Succeeded();
    void Failed();

   private:
    friend class Throttle;
    Attempt(Throttle* throttle, Sha256Digest pair, Sha256Digest user);
    Throttle* throttle_;  // null once decided
    Sha256Digest pair_, user_;
  };

  struct Refused {
    absl::Duration retry_after;  // more than zero
  };

  // Begin admits one guess or says how long to wait.
  // REQUIRES: this outlives the Attempt.
  std::variant<Attempt, Refused> Begin(absl::string_view scheme, absl::string_view user,
                                       absl::string_view address_key);

  // Pairs and users remembered.
  size_t size() const;

 private:
  struct Entry {
    uint32_t failures = 0;
    uint32_t in_flight = 0;
    absl::Time last = absl::InfinitePast();        // last failure
    absl::Time not_before = absl::InfinitePast();  // refused until then
    absl::Time verified = absl::InfinitePast();    // last success
  };
  static constexpr size_t kShards = 16;
  struct Shard {
    explicit Shard(size_t capacity) : entries(capacity) {}
    mutable Mutex mutex;
    LruCache<Sha256Digest, Entry, DigestHash> entries ABSL_GUARDED_BY(mutex);
  };
  enum class Outcome : uint8_t { kSucceeded, kFailed, kUndecided };

  Shard& ShardOf(const Sha256Digest& key) { return *shards_[key[31] % kShards]; }
  void End(const Sha256Digest& pair, const Sha256Digest& user, Outcome outcome);
  void Forget(Entry& entry, absl::Time now) const;

  const ThrottleOptions options_;
  const Clock& clock_;
  const std::string process_key_;
  std::array<std::unique_ptr<Shard>, kShards> shards_;
};

}  // namespace gatehouse::credentials
