// Throttle slows password guessing. It counts failures, unknown users alike,
//
//   of a user from an address   some are free, then each one doubles a delay, then the pair is locked out for a while
//   of an address               users that fail there beyond those verified there: the same, so that trying many users is
//                               no way around the count above
//   of a user                   over all addresses: a short delay only, so that nobody can lock out somebody else
//   of a scheme                 users that fail anywhere with few tries each: an alarm, nothing is refused for it
//
// Who was verified from an address lately is spared all but the first. Attempts under way count, or are asked again when
// their turn comes (Recheck), so that parallel guesses gain nothing. Where counts are halved with time they are real
// numbers.
//
// Ownership:  keeps names of known users and addresses; of an unknown user a digest, since people type passwords there.
// Threading:  thread-safe (sharded); shared by the workers and the verifier threads. `on_alarm` runs on the thread of the
//             attempt, under no lock. A hit of VerifiedCache never comes here.
// Units:      times are wall-clock; capacity in entries of about 350 bytes, least recently used first out.
// Errors:     none. A clock that is set back lengthens no delay.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/digest.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"

namespace gatehouse::credentials {

// What PasswordThrottle of the proto says, of one scheme.
struct ThrottleOptions {
  uint32_t free_failures = 5;                     // of a pair, no delay up to here
  absl::Duration first_delay = absl::Seconds(1);  // doubles with each further failure
  absl::Duration max_delay = absl::Seconds(30);
  uint32_t lockout_failures = 20;  // of a pair, locked out from here on
  absl::Duration lockout = absl::Minutes(15);
  absl::Duration forget = absl::Minutes(15);  // a pair or user without failure for so long starts anew
  uint32_t user_free_failures = 50;           // of a user over all addresses, no delay up to here
  absl::Duration user_delay = absl::Seconds(1);
  uint32_t address_free_users = 20;      // failing beyond those verified, no delay up to here
  uint32_t address_lockout_users = 30;   // locked out from here on
  uint32_t spray_users = 100;            // failing anywhere: alarm
  absl::Duration spray_window = absl::Minutes(10);
  friend bool operator==(const ThrottleOptions&, const ThrottleOptions&) = default;
};

// AddressKey is what counts as one address: an IPv4 address, the /64 of an IPv6 one, the text
// itself otherwise. `address` is an IP address as text without a port.
std::string AddressKey(absl::string_view address);
// `192.0.2.1`, `2001:db8::/64`, or the text.
std::string AddressText(absl::string_view address_key);

enum class ThrottleKind : uint8_t { kPair = 1, kAddress = 2, kUser = 3 };

// ThrottleEntry is what is remembered of one of them.
struct ThrottleEntry {
  ThrottleKind kind = ThrottleKind::kPair;
  std::string scheme;
  std::string user;         // not of an address: the name, or `unknown:` and hex
  std::string address_key;  // not of a user
  Sha256Digest user_digest{};
  uint32_t failures = 0;  // pair, user
  // Address: users failing and users verified, as they were at `halved`.
  double failing = 0, good = 0;
  absl::Time halved = absl::InfinitePast();
  absl::Time last = absl::InfinitePast();        // failure
  absl::Time not_before = absl::InfinitePast();  // refused until then
  absl::Time verified = absl::InfinitePast();    // pair: last success
  bool locked = false;                           // `not_before` is a lock-out
  bool counted = false;  // pair: among the failing of its address; user: among those of the scheme
};

// ThrottleAlarm is something that people may want to hear of.
struct ThrottleAlarm {
  enum class Kind : uint8_t { kPairLocked, kAddressLocked, kSprayBegan, kSprayEnded };
  Kind kind = Kind::kPairLocked;
  std::string scheme, user, address_key;
  uint32_t failures = 0;  // of the pair; of an address, users
  absl::Duration lockout = absl::ZeroDuration();
  // Of a spray, within its window and about: users, tries and addresses.
  double users = 0, tries = 0, addresses = 0;
};

class Throttle {
 public:
  using OnAlarm = std::function<void(const ThrottleAlarm&)>;

  // REQUIRES: clock outlives this.
  Throttle(size_t capacity, const Clock& clock, OnAlarm on_alarm = {});

  struct Refused {
    absl::Duration retry_after;  // more than zero
  };
  // Who tries: `known` says that the scheme knows the user, so that the name may be kept.
  struct Who {
    absl::string_view scheme, user, address_key;
    bool known = false;
  };

  // Attempt is one admitted guess. Exactly one of Succeeded and Failed is called; one that dies
  // without either was never decided (the executor refused or dropped it) and does not count.
  class Attempt {
   public:
    Attempt(Attempt&& other) noexcept;
    Attempt& operator=(Attempt&&) = delete;
    ~Attempt();
    // Recheck says whether what others did since Begin refuses it now; it dies undecided then.
    std::optional<Refused> Recheck() const;
    void Succeeded();
    void Failed();

   private:
    friend class Throttle;
    struct Subject;
    Attempt(Throttle* throttle, std::unique_ptr<Subject> subject);
    Throttle* throttle_;
    std::unique_ptr<Subject> subject_;  // null once decided
  };

  // Begin admits one guess or says how long to wait. The options that count are those of the latest attempt.
  // REQUIRES: this outlives the Attempt.
  std::variant<Attempt, Refused> Begin(const Who& who, const ThrottleOptions& options);

  // What a filter leaves out may be anything; an empty field matches all.
  struct Filter {
    std::string scheme, user, address_key;
  };
  using OptionsOf = std::function<ThrottleOptions(const std::string& scheme)>;
  // Entries with failures that still count or a refusal that lasts, as of now, in no order.
  std::vector<ThrottleEntry> List(const Filter& filter, const OptionsOf& options_of) const;
  // Clear forgets them, and returns how many there were. What an attempt under way finds out later counts anew.
  size_t Clear(const Filter& filter, const OptionsOf& options_of);

  // All of it in a form that Restore takes, names included: to be sealed.
  std::string Save() const;
  // Restore takes the place of what there is. DATA_LOSS: not made by Save; nothing is changed then.
  absl::Status Restore(absl::string_view saved);
  // Grows with everything that is worth saving.
  uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }

  // Ends sprays that are over. To be called now and then.
  void Tick();

  // Pairs, addresses and users remembered.
  size_t size() const;
  uint64_t lockouts(ThrottleKind kind) const;
  uint64_t sprays() const { return sprays_begun_.load(std::memory_order_relaxed); }
  // Schemes that are being sprayed.
  size_t spraying() const;

 private:
  static constexpr size_t kShards = 16;
  using Entries = LruCache<Sha256Digest, ThrottleEntry, DigestHash>;
  struct Shard {
    explicit Shard(size_t capacity) : entries(capacity) {}
    mutable Mutex mutex;
    Entries entries ABSL_GUARDED_BY(mutex);
    // Attempts of pairs. Apart, so that who has not paid for a hash yet pushes nobody out.
    absl::flat_hash_map<Sha256Digest, uint32_t, DigestHash> under_way ABSL_GUARDED_BY(mutex);
  };
  struct Spray {
    double users = 0, tries = 0, addresses = 0;  // at `halved`
    absl::Time halved = absl::InfinitePast();
    bool on = false;
    ThrottleOptions options;
  };
  enum class Outcome : uint8_t { kSucceeded, kFailed, kUndecided };
  // What a failure or success changed, told from one count to the next.
  struct Effect {
    bool failing = false;    // the pair fails newly
    bool corrected = false;  // it does no longer
    bool good = false;       // it is verified newly
    bool new_user = false, new_address = false, corrected_user = false;
  };

  struct Matcher {
    const Throttle& throttle;
    const Filter& filter;
    std::map<std::string, Sha256Digest> digests;  // of the filter's user, by scheme
    bool operator()(const ThrottleEntry& entry);
  };

  Shard& ShardOf(const Sha256Digest& key) const { return *shards_[key[31] % kShards]; }
  Sha256Digest KeyOf(ThrottleKind kind, absl::string_view scheme, absl::string_view user,
                     absl::string_view address_key) const;
  absl::Duration WaitOf(const Sha256Digest& key, const ThrottleOptions& options, absl::Time now) const;
  std::optional<Refused> RefusedElsewhere(const Attempt::Subject& subject, absl::Time now) const;
  void End(const Attempt::Subject& subject, Outcome outcome);
  void EndPair(const Attempt::Subject& subject, Outcome outcome, absl::Time now, Effect* effect);
  void EndAddress(const Attempt::Subject& subject, Outcome outcome, absl::Time now, Effect* effect);
  void EndUser(const Attempt::Subject& subject, Outcome outcome, absl::Time now, Effect* effect);
  void EndSpray(const Attempt::Subject& subject, Outcome outcome, absl::Time now, const Effect& effect);
  void Tell(const ThrottleAlarm& alarm) const;

  const size_t shard_capacity_;
  const Clock& clock_;
  const OnAlarm on_alarm_;
  std::string key_;  // of the digests; changed by Restore, before the first attempt
  std::array<std::unique_ptr<Shard>, kShards> shards_;
  mutable Mutex spray_mutex_;
  std::map<std::string, Spray> sprays_ ABSL_GUARDED_BY(spray_mutex_);  // by scheme
  std::atomic<uint64_t> changes_{0}, pair_lockouts_{0}, address_lockouts_{0}, sprays_begun_{0};
};

}  // namespace gatehouse::credentials
