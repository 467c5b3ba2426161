#include "gateway/credentials/throttle.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/fields.h"

namespace gatehouse::credentials {
namespace {

constexpr size_t kMaxSprays = 1000;  // schemes

// 1, 2, 4 … times `first`, to `most`.
absl::Duration Doubled(absl::Duration first, absl::Duration most, uint32_t doublings) {
  return std::min(first * (int64_t{1} << std::min(doublings, uint32_t{30})), most);
}

// What is left of `count` after `elapsed`, when half goes in each `half_life`.
double Halved(double count, absl::Duration elapsed, absl::Duration half_life) {
  if (elapsed <= absl::ZeroDuration()) return count;
  return count * std::exp2(-absl::FDivDuration(elapsed, half_life));
}

// Brings an entry up to `now`.
void Forget(ThrottleEntry& entry, const ThrottleOptions& options, absl::Time now) {
  // A clock that was set back must not lengthen anything beyond what was meant.
  entry.not_before = std::min(entry.not_before, now + std::max(options.lockout, options.max_delay));
  entry.last = std::min(entry.last, now);
  entry.verified = std::min(entry.verified, now);
  if (now >= entry.not_before) {
    entry.locked = false;
    if (now - entry.last >= options.forget) entry.failures = 0, entry.counted = false;
  }
  entry.failing = Halved(entry.failing, now - entry.halved, options.forget);
  entry.good = Halved(entry.good, now - entry.halved, options.forget);
  entry.halved = now;
}

bool VerifiedLately(const ThrottleEntry& entry, const ThrottleOptions& options, absl::Time now) {
  return now - entry.verified < options.forget;
}

ThrottleAlarm AlarmOf(ThrottleAlarm::Kind kind, const ThrottleEntry& entry, const ThrottleOptions& options) {
  ThrottleAlarm alarm;
  alarm.kind = kind;
  alarm.scheme = entry.scheme;
  alarm.user = entry.user;
  alarm.address_key = entry.address_key;
  alarm.failures =
      entry.kind == ThrottleKind::kAddress ? static_cast<uint32_t>(std::lround(entry.failing)) : entry.failures;
  alarm.lockout = options.lockout;
  return alarm;
}

}  // namespace

struct Throttle::Attempt::Subject {
  std::string scheme, user, address_key;
  Sha256Digest pair, address, user_digest;
  ThrottleOptions options;
  bool spared = false;  // verified from there lately

  ThrottleEntry Entry(ThrottleKind kind) const {
    ThrottleEntry entry;
    entry.kind = kind;
    entry.scheme = scheme;
    if (kind != ThrottleKind::kAddress) entry.user = user, entry.user_digest = user_digest;
    if (kind != ThrottleKind::kUser) entry.address_key = address_key;
    return entry;
  }
};

Throttle::Throttle(size_t capacity, const Clock& clock, OnAlarm on_alarm)
    : shard_capacity_(capacity / kShards + 1), clock_(clock), on_alarm_(std::move(on_alarm)), key_(RandomBytes(32)) {
  for (auto& shard : shards_) shard = std::make_unique<Shard>(shard_capacity_);
}

Throttle::Attempt::Attempt(Throttle* throttle, std::unique_ptr<Subject> subject)
    : throttle_(throttle), subject_(std::move(subject)) {}
Throttle::Attempt::Attempt(Attempt&& other) noexcept = default;
Throttle::Attempt::~Attempt() {
  if (subject_ != nullptr) throttle_->End(*subject_, Outcome::kUndecided);
}
void Throttle::Attempt::Succeeded() {
  if (auto subject = std::move(subject_)) throttle_->End(*subject, Outcome::kSucceeded);
}
void Throttle::Attempt::Failed() {
  if (auto subject = std::move(subject_)) throttle_->End(*subject, Outcome::kFailed);
}

Sha256Digest Throttle::KeyOf(ThrottleKind kind, absl::string_view scheme, absl::string_view user,
                             absl::string_view address_key) const {
  std::string text = key_;
  AppendField(&text, static_cast<uint64_t>(kind));
  AppendField(&text, scheme);
  AppendField(&text, user);
  AppendField(&text, address_key);
  return Sha256(text);
}

absl::Duration Throttle::WaitOf(const Sha256Digest& key, const ThrottleOptions& options, absl::Time now) const {
  Shard& shard = ShardOf(key);
  MutexLock lock(&shard.mutex);
  ThrottleEntry* entry = shard.entries.Find(key);
  if (entry == nullptr) return absl::ZeroDuration();
  Forget(*entry, options, now);
  return std::max(entry->not_before - now, absl::ZeroDuration());
}

std::optional<Throttle::Refused> Throttle::RefusedElsewhere(const Attempt::Subject& subject, absl::Time now) const {
  if (subject.spared) return std::nullopt;
  // Of a user never more than the short delay, whatever the options were when it was counted.
  const absl::Duration user = std::min(WaitOf(subject.user_digest, subject.options, now), subject.options.user_delay);
  const absl::Duration wait = std::max(user, WaitOf(subject.address, subject.options, now));
  if (wait <= absl::ZeroDuration()) return std::nullopt;
  return Refused{wait};
}

std::variant<Throttle::Attempt, Throttle::Refused> Throttle::Begin(const Who& who, const ThrottleOptions& options) {
  const absl::Time now = clock_.Now();
  auto subject = std::make_unique<Attempt::Subject>();
  subject->scheme = std::string(who.scheme);
  subject->address_key = std::string(who.address_key);
  subject->options = options;
  subject->user_digest = KeyOf(ThrottleKind::kUser, who.scheme, who.user, {});
  subject->pair = KeyOf(ThrottleKind::kPair, who.scheme, who.user, who.address_key);
  subject->address = KeyOf(ThrottleKind::kAddress, who.scheme, {}, who.address_key);
  subject->user = who.known ? std::string(who.user)
                            : absl::StrCat("unknown:", HexLower(AsView(subject->user_digest).substr(0, 6)));
  {
    Shard& shard = ShardOf(subject->pair);
    MutexLock lock(&shard.mutex);
    uint32_t failures = 0;
    if (ThrottleEntry* entry = shard.entries.Find(subject->pair)) {
      Forget(*entry, options, now);
      if (now < entry->not_before) return Refused{entry->not_before - now};
      failures = entry->failures;
      subject->spared = VerifiedLately(*entry, options, now);
    }
    const auto under_way = shard.under_way.find(subject->pair);
    if (under_way != shard.under_way.end() && failures + under_way->second > options.free_failures) {
      return Refused{options.first_delay};
    }
    ++shard.under_way[subject->pair];
  }
  // It dies undecided when it is refused, outside the locks that it takes itself.
  Attempt attempt(this, std::move(subject));
  if (std::optional<Refused> refused = RefusedElsewhere(*attempt.subject_, now)) return *refused;
  return attempt;
}

std::optional<Throttle::Refused> Throttle::Attempt::Recheck() const {
  const absl::Time now = throttle_->clock_.Now();
  const absl::Duration own = throttle_->WaitOf(subject_->pair, subject_->options, now);
  if (own > absl::ZeroDuration()) return Refused{own};
  return throttle_->RefusedElsewhere(*subject_, now);
}

void Throttle::End(const Attempt::Subject& subject, Outcome outcome) {
  const absl::Time now = clock_.Now();
  Effect effect;
  EndPair(subject, outcome, now, &effect);
  if (outcome == Outcome::kUndecided) return;
  EndAddress(subject, outcome, now, &effect);
  EndUser(subject, outcome, now, &effect);
  EndSpray(subject, outcome, now, effect);
  if (outcome == Outcome::kFailed || effect.corrected) changes_.fetch_add(1, std::memory_order_relaxed);
}

void Throttle::EndPair(const Attempt::Subject& subject, Outcome outcome, absl::Time now, Effect* effect) {
  const ThrottleOptions& options = subject.options;
  std::optional<ThrottleAlarm> alarm;
  {
    Shard& shard = ShardOf(subject.pair);
    MutexLock lock(&shard.mutex);
    auto under_way = shard.under_way.find(subject.pair);
    if (--under_way->second == 0) shard.under_way.erase(under_way);
    if (outcome == Outcome::kUndecided) return;
    ThrottleEntry* entry = shard.entries.Find(subject.pair);
    if (entry == nullptr) entry = &shard.entries.Put(subject.pair, subject.Entry(ThrottleKind::kPair));
    Forget(*entry, options, now);
    switch (outcome) {
      case Outcome::kUndecided:
        return;
      case Outcome::kSucceeded:
        effect->corrected = entry->counted;
        effect->good = !VerifiedLately(*entry, options, now);
        entry->failures = 0;
        entry->counted = entry->locked = false;
        entry->not_before = absl::InfinitePast();
        entry->verified = now;
        return;
      case Outcome::kFailed:
        effect->failing = !entry->counted;
        entry->counted = true;
        entry->user = subject.user;
        if (entry->failures < UINT32_MAX) ++entry->failures;
        entry->last = now;
        if (entry->failures >= options.lockout_failures) {
          entry->not_before = now + options.lockout;
          entry->locked = true;
          alarm = AlarmOf(ThrottleAlarm::Kind::kPairLocked, *entry, options);
        } else if (entry->failures > options.free_failures) {
          entry->not_before =
              now + Doubled(options.first_delay, options.max_delay, entry->failures - options.free_failures - 1);
        }
        break;
    }
  }
  if (!alarm.has_value()) return;
  pair_lockouts_.fetch_add(1, std::memory_order_relaxed);
  Tell(*alarm);
}

void Throttle::EndAddress(const Attempt::Subject& subject, Outcome outcome, absl::Time now, Effect* effect) {
  if (outcome == Outcome::kSucceeded && !effect->corrected && !effect->good) return;
  const ThrottleOptions& options = subject.options;
  std::optional<ThrottleAlarm> alarm;
  {
    Shard& shard = ShardOf(subject.address);
    MutexLock lock(&shard.mutex);
    ThrottleEntry* entry = shard.entries.Find(subject.address);
    if (entry == nullptr) entry = &shard.entries.Put(subject.address, subject.Entry(ThrottleKind::kAddress));
    Forget(*entry, options, now);
    if (outcome == Outcome::kSucceeded) {
      if (effect->corrected) entry->failing = std::max(entry->failing - 1, 0.0);
      if (effect->good) entry->good += 1;
      return;
    }
    effect->new_address = entry->failing < 0.5;
    if (effect->failing) entry->failing += 1;
    entry->last = now;
    const double beyond = entry->failing - entry->good;
    if (beyond >= options.address_lockout_users) {
      // Those whose turn came together must not tell of it again.
      if (!entry->locked) alarm = AlarmOf(ThrottleAlarm::Kind::kAddressLocked, *entry, options);
      entry->not_before = now + options.lockout;
      entry->locked = true;
    } else if (beyond > options.address_free_users) {
      const auto doublings = static_cast<uint32_t>(std::ceil(beyond - options.address_free_users)) - 1;
      entry->not_before =
          std::max(entry->not_before, now + Doubled(options.first_delay, options.max_delay, doublings));
    }
  }
  if (!alarm.has_value()) return;
  address_lockouts_.fetch_add(1, std::memory_order_relaxed);
  Tell(*alarm);
}

void Throttle::EndUser(const Attempt::Subject& subject, Outcome outcome, absl::Time now, Effect* effect) {
  Shard& shard = ShardOf(subject.user_digest);
  MutexLock lock(&shard.mutex);
  ThrottleEntry* entry = shard.entries.Find(subject.user_digest);
  if (outcome == Outcome::kSucceeded) {
    // That somebody knows the password takes nothing from what guessers are slowed by.
    effect->corrected_user = entry != nullptr && std::exchange(entry->counted, false);
    return;
  }
  if (entry == nullptr) entry = &shard.entries.Put(subject.user_digest, subject.Entry(ThrottleKind::kUser));
  Forget(*entry, subject.options, now);
  effect->new_user = !entry->counted && entry->failures == 0;
  entry->counted = entry->counted || effect->new_user;
  entry->user = subject.user;
  if (entry->failures < UINT32_MAX) ++entry->failures;
  entry->last = now;
  if (entry->failures > subject.options.user_free_failures) entry->not_before = now + subject.options.user_delay;
}

void Throttle::EndSpray(const Attempt::Subject& subject, Outcome outcome, absl::Time now, const Effect& effect) {
  if (outcome == Outcome::kSucceeded && !effect.corrected_user) return;
  std::optional<ThrottleAlarm> alarm;
  {
    MutexLock lock(&spray_mutex_);
    auto it = sprays_.find(subject.scheme);
    if (it == sprays_.end()) {
      if (sprays_.size() >= kMaxSprays) return;
      it = sprays_.try_emplace(subject.scheme).first;
    }
    Spray& spray = it->second;
    spray.options = subject.options;
    for (double* count : {&spray.users, &spray.tries, &spray.addresses}) {
      *count = Halved(*count, now - spray.halved, spray.options.spray_window);
    }
    spray.halved = now;
    if (effect.corrected_user) spray.users = std::max(spray.users - 1, 0.0);
    if (outcome == Outcome::kFailed) spray.tries += 1;
    if (effect.new_user) spray.users += 1;
    if (effect.new_address) spray.addresses += 1;
    // Many tries a user are a guesser that the other counts deal with.
    if (!spray.on && spray.users >= spray.options.spray_users &&
        spray.tries <= spray.users * spray.options.free_failures) {
      spray.on = true;
      alarm.emplace();
      alarm->kind = ThrottleAlarm::Kind::kSprayBegan;
      alarm->scheme = subject.scheme;
      alarm->users = spray.users;
      alarm->tries = spray.tries;
      alarm->addresses = spray.addresses;
    }
  }
  if (!alarm.has_value()) return;
  sprays_begun_.fetch_add(1, std::memory_order_relaxed);
  Tell(*alarm);
}

void Throttle::Tick() {
  const absl::Time now = clock_.Now();
  std::vector<ThrottleAlarm> over;
  {
    MutexLock lock(&spray_mutex_);
    for (auto& [scheme, spray] : sprays_) {
      if (!spray.on) continue;
      const double users = Halved(spray.users, now - spray.halved, spray.options.spray_window);
      if (users >= spray.options.spray_users / 2.0) continue;
      spray.on = false;
      ThrottleAlarm& alarm = over.emplace_back();
      alarm.kind = ThrottleAlarm::Kind::kSprayEnded;
      alarm.scheme = scheme;
    }
  }
  for (const ThrottleAlarm& alarm : over) Tell(alarm);
}

bool Throttle::Matcher::operator()(const ThrottleEntry& entry) {
  if (!filter.scheme.empty() && entry.scheme != filter.scheme) return false;
  if (!filter.address_key.empty() && (entry.kind == ThrottleKind::kUser || entry.address_key != filter.address_key)) {
    return false;
  }
  if (filter.user.empty()) return true;
  if (entry.kind == ThrottleKind::kAddress) return false;
  auto [digest, added] = digests.try_emplace(entry.scheme);
  if (added) digest->second = throttle.KeyOf(ThrottleKind::kUser, entry.scheme, filter.user, {});
  // As the client sends it, or as it stands in a list.
  return entry.user_digest == digest->second || entry.user == filter.user;
}

std::vector<ThrottleEntry> Throttle::List(const Filter& filter, const OptionsOf& options_of) const {
  const absl::Time now = clock_.Now();
  Matcher matches{*this, filter, {}};
  std::vector<ThrottleEntry> out;
  for (const auto& shard : shards_) {
    std::vector<ThrottleEntry> some;
    {
      MutexLock lock(&shard->mutex);
      shard->entries.ForEach([&](const Sha256Digest&, const ThrottleEntry& entry) {
        if (entry.failures > 0 || entry.failing > 0) some.push_back(entry);
      });
    }
    for (ThrottleEntry& entry : some) {
      if (!matches(entry)) continue;
      Forget(entry, options_of(entry.scheme), now);
      if (entry.kind == ThrottleKind::kAddress) entry.failures = static_cast<uint32_t>(std::lround(entry.failing));
      if (entry.failures > 0 || now < entry.not_before) out.push_back(std::move(entry));
    }
  }
  return out;
}

size_t Throttle::Clear(const Filter& filter, const OptionsOf& options_of) {
  const size_t found = List(filter, options_of).size();
  Matcher matches{*this, filter, {}};
  for (const auto& shard : shards_) {
    MutexLock lock(&shard->mutex);
    shard->entries.EraseIf([&](const Sha256Digest&, ThrottleEntry& entry) {
      if (!matches(entry)) return false;
      // Whoever is verified stays so.
      if (entry.verified == absl::InfinitePast() && entry.good == 0) return true;
      entry.failures = 0;
      entry.failing = 0;
      entry.not_before = absl::InfinitePast();
      entry.locked = entry.counted = false;
      return false;
    });
  }
  changes_.fetch_add(1, std::memory_order_relaxed);
  return found;
}

size_t Throttle::size() const {
  size_t n = 0;
  for (const auto& shard : shards_) {
    MutexLock lock(&shard->mutex);
    n += shard->entries.size();
  }
  return n;
}

uint64_t Throttle::lockouts(ThrottleKind kind) const {
  switch (kind) {
    case ThrottleKind::kPair: return pair_lockouts_.load(std::memory_order_relaxed);
    case ThrottleKind::kAddress: return address_lockouts_.load(std::memory_order_relaxed);
    case ThrottleKind::kUser: break;
  }
  return 0;
}

size_t Throttle::spraying() const {
  MutexLock lock(&spray_mutex_);
  size_t n = 0;
  for (const auto& [scheme, spray] : sprays_) n += spray.on;
  return n;
}

void Throttle::Tell(const ThrottleAlarm& alarm) const {
  if (on_alarm_) on_alarm_(alarm);
}

}  // namespace gatehouse::credentials
