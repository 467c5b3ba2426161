#include "gateway/credentials/throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/fields.h"

namespace gatehouse::credentials {

std::string AddressKey(absl::string_view address) {
  // An IPv6 zone says on which link the address is, not who it is.
  std::string text(address.substr(0, address.find('%')));
  in_addr v4;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    return std::string(reinterpret_cast<const char*>(&v4), sizeof(v4));
  }
  in6_addr v6;
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    const char* bytes = reinterpret_cast<const char*>(&v6);
    if (IN6_IS_ADDR_V4MAPPED(&v6)) return std::string(bytes + 12, 4);
    return std::string(bytes, 8);
  }
  return text;
}

Throttle::Throttle(ThrottleOptions options, const Clock& clock)
    : options_(options), clock_(clock), process_key_(RandomBytes(32)) {
  for (auto& shard : shards_) shard = std::make_unique<Shard>(options_.capacity / kShards + 1);
}

Throttle::Attempt::Attempt(Throttle* throttle, Sha256Digest pair, Sha256Digest user)
    : throttle_(throttle), pair_(pair), user_(user) {}
Throttle::Attempt::Attempt(Attempt&& other) noexcept
    : throttle_(std::exchange(other.throttle_, nullptr)), pair_(other.pair_), user_(other.user_) {}
Throttle::Attempt::~Attempt() {
  if (throttle_ != nullptr) throttle_->End(pair_, user_, Outcome::kUndecided);
}
void Throttle::Attempt::Succeeded() {
  if (Throttle* throttle = std::exchange(throttle_, nullptr)) {
    throttle->End(pair_, user_, Outcome::kSucceeded);
  }
}
void Throttle::Attempt::Failed() {
  if (Throttle* throttle = std::exchange(throttle_, nullptr)) {
    throttle->End(pair_, user_, Outcome::kFailed);
  }
}

void Throttle::Forget(Entry& entry, absl::Time now) const {
  // A clock that was set back must not lengthen a delay beyond what was meant.
  entry.not_before =
      std::min(entry.not_before, now + std::max(options_.lockout, options_.max_delay));
  if (now >= entry.not_before && now - entry.last >= options_.forget) entry.failures = 0;
}

std::variant<Throttle::Attempt, Throttle::Refused> Throttle::Begin(absl::string_view scheme,
                                                                   absl::string_view user,
                                                                   absl::string_view address_key) {
  const absl::Time now = clock_.Now();
  std::string text = process_key_;
  AppendField(&text, scheme);
  AppendField(&text, user);
  const Sha256Digest user_key = Sha256(text);
  AppendField(&text, address_key);
  const Sha256Digest pair_key = Sha256(text);

  bool verified_lately = false;
  {
    Shard& shard = ShardOf(pair_key);
    MutexLock lock(&shard.mutex);
    Entry* entry = shard.entries.Find(pair_key);
    if (entry == nullptr) entry = &shard.entries.Put(pair_key, Entry{});
    Forget(*entry, now);
    if (now < entry->not_before) return Refused{entry->not_before - now};
    if (entry->in_flight > 0 && entry->failures + entry->in_flight > options_.free_failures) {
      return Refused{options_.first_delay};
    }
    ++entry->in_flight;
    verified_lately = now - entry->verified < options_.forget;
  }
  Attempt attempt(this, pair_key, user_key);
  if (!verified_lately) {
    Shard& shard = ShardOf(user_key);
    absl::Duration wait = absl::ZeroDuration();
    {
      MutexLock lock(&shard.mutex);
      if (Entry* entry = shard.entries.Find(user_key)) {
        Forget(*entry, now);
        wait = std::min(entry->not_before - now, options_.user_delay);
      }
    }
    // The attempt dies undecided, outside the lock that it takes itself.
    if (wait > absl::ZeroDuration()) return Refused{wait};
  }
  return attempt;
}

void Throttle::End(const Sha256Digest& pair, const Sha256Digest& user, Outcome outcome) {
  const absl::Time now = clock_.Now();
  {
    Shard& shard = ShardOf(pair);
    MutexLock lock(&shard.mutex);
    Entry* entry = shard.entries.Find(pair);
    // Pushed out meanwhile: only a failure is worth a new entry.
    if (entry == nullptr && outcome != Outcome::kFailed) return;
    if (entry == nullptr) entry = &shard.entries.Put(pair, Entry{});
    if (entry->in_flight > 0) --entry->in_flight;
    switch (outcome) {
      case Outcome::kUndecided:
        break;
      case Outcome::kSucceeded:
        entry->failures = 0;
        entry->not_before = absl::InfinitePast();
        entry->verified = now;
        break;
      case Outcome::kFailed:
        Forget(*entry, now);
        ++entry->failures;
        entry->last = now;
        if (entry->failures >= options_.lockout_failures) {
          entry->not_before = now + options_.lockout;
        } else if (entry->failures > options_.free_failures) {
          const uint32_t doublings =
              std::min(entry->failures - options_.free_failures - 1, uint32_t{30});
          entry->not_before =
              now + std::min(options_.first_delay * (int64_t{1} << doublings), options_.max_delay);
        }
        break;
    }
  }
  if (outcome != Outcome::kFailed) return;
  Shard& shard = ShardOf(user);
  MutexLock lock(&shard.mutex);
  Entry* entry = shard.entries.Find(user);
  if (entry == nullptr) entry = &shard.entries.Put(user, Entry{});
  Forget(*entry, now);
  if (entry->failures < UINT32_MAX) ++entry->failures;
  entry->last = now;
  if (entry->failures > options_.user_free_failures) entry->not_before = now + options_.user_delay;
}

size_t Throttle::size() const {
  size_t n = 0;
  for (const auto& shard : shards_) {
    MutexLock lock(&shard->mutex);
    n += shard->entries.size();
  }
  return n;
}

}  // namespace gatehouse::credentials
