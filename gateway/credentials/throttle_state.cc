// Throttle's Save and Restore: fields of fields.h, one entry after the other.
#include <cstring>
#include <utility>
#include <vector>

#include "gateway/base/fields.h"
#include "gateway/credentials/throttle.h"

namespace gatehouse::credentials {
namespace {

constexpr absl::string_view kForm = "gatehouse throttle 1";
constexpr size_t kKeyBytes = 32;
// Nobody is spared longer for having been verified.
constexpr absl::Duration kLongestForget = absl::Hours(24);

class Reader {
 public:
  explicit Reader(absl::string_view from) : from_(from) {}
  bool Number(uint64_t* out) {
    if (from_.size() < 8) return false;
    *out = 0;
    for (int i = 7; i >= 0; --i) *out = *out << 8 | static_cast<uint8_t>(from_[static_cast<size_t>(i)]);
    from_.remove_prefix(8);
    return true;
  }
  bool Text(std::string* out) {
    uint64_t size = 0;
    if (!Number(&size) || size > from_.size()) return false;
    *out = std::string(from_.substr(0, size));
    from_.remove_prefix(size);
    return true;
  }
  bool Digest(Sha256Digest* out) {
    std::string text;
    if (!Text(&text) || text.size() != out->size()) return false;
    std::memcpy(out->data(), text.data(), out->size());
    return true;
  }
  bool Time(absl::Time* out) {
    uint64_t nanos = 0;
    if (!Number(&nanos)) return false;
    *out = static_cast<int64_t>(nanos) == INT64_MIN ? absl::InfinitePast()
                                                    : absl::FromUnixNanos(static_cast<int64_t>(nanos));
    return true;
  }
  bool Real(double* out) {
    uint64_t bits = 0;
    if (!Number(&bits)) return false;
    std::memcpy(out, &bits, sizeof(bits));
    return *out >= 0 && *out < 1e9;  // no NaN either
  }
  bool done() const { return from_.empty(); }

 private:
  absl::string_view from_;
};

void AppendTime(std::string* out, absl::Time time) {
  AppendField(out, static_cast<uint64_t>(time == absl::InfinitePast() ? INT64_MIN : absl::ToUnixNanos(time)));
}

void AppendReal(std::string* out, double number) {
  uint64_t bits = 0;
  std::memcpy(&bits, &number, sizeof(bits));
  AppendField(out, bits);
}

void AppendEntry(std::string* out, const Sha256Digest& key, const ThrottleEntry& entry) {
  AppendField(out, AsView(key));
  AppendField(out, static_cast<uint64_t>(entry.kind));
  AppendField(out, entry.scheme);
  AppendField(out, entry.user);
  AppendField(out, entry.address_key);
  AppendField(out, AsView(entry.user_digest));
  AppendField(out, uint64_t{entry.failures});
  AppendReal(out, entry.failing);
  AppendReal(out, entry.good);
  AppendTime(out, entry.halved);
  AppendTime(out, entry.last);
  AppendTime(out, entry.not_before);
  AppendTime(out, entry.verified);
  AppendField(out, uint64_t{entry.locked} | uint64_t{entry.counted} << 1);
}

bool ReadEntry(Reader& from, Sha256Digest* key, ThrottleEntry* entry) {
  uint64_t kind = 0, failures = 0, flags = 0;
  const bool whole = from.Digest(key) && from.Number(&kind) && from.Text(&entry->scheme) && from.Text(&entry->user) &&
                     from.Text(&entry->address_key) && from.Digest(&entry->user_digest) && from.Number(&failures) &&
                     from.Real(&entry->failing) && from.Real(&entry->good) && from.Time(&entry->halved) &&
                     from.Time(&entry->last) && from.Time(&entry->not_before) && from.Time(&entry->verified) &&
                     from.Number(&flags);
  if (!whole || kind < 1 || kind > 3 || failures > UINT32_MAX || flags > 3) return false;
  entry->kind = static_cast<ThrottleKind>(kind);
  entry->failures = static_cast<uint32_t>(failures);
  entry->locked = (flags & 1) != 0;
  entry->counted = (flags & 2) != 0;
  return true;
}

}  // namespace

std::string Throttle::Save() const {
  const absl::Time now = clock_.Now();
  std::string out;
  AppendField(&out, kForm);
  AppendField(&out, key_);
  for (const auto& shard : shards_) {
    MutexLock lock(&shard->mutex);
    // The least recently used first, so that reading keeps the order.
    std::vector<std::pair<const Sha256Digest*, const ThrottleEntry*>> some;
    shard->entries.ForEach([&](const Sha256Digest& key, const ThrottleEntry& entry) {
      const bool matters = entry.failures > 0 || entry.failing >= 0.5 || entry.good >= 0.5 || entry.not_before > now ||
                           now - entry.verified < kLongestForget;
      if (matters) some.emplace_back(&key, &entry);
    });
    for (auto it = some.rbegin(); it != some.rend(); ++it) AppendEntry(&out, *it->first, *it->second);
  }
  return out;
}

absl::Status Throttle::Restore(absl::string_view saved) {
  Reader from(saved);
  std::string form, key;
  if (!from.Text(&form) || form != kForm || !from.Text(&key) || key.size() != kKeyBytes) {
    return absl::DataLossError("is not of this version");
  }
  std::array<std::unique_ptr<Shard>, kShards> shards;
  for (auto& shard : shards) shard = std::make_unique<Shard>(shard_capacity_);
  while (!from.done()) {
    Sha256Digest at;
    ThrottleEntry entry;
    if (!ReadEntry(from, &at, &entry)) return absl::DataLossError("has an entry that cannot be read");
    Shard& shard = *shards[at[31] % kShards];
    MutexLock lock(&shard.mutex);
    shard.entries.Put(at, std::move(entry));
  }
  key_ = std::move(key);
  shards_ = std::move(shards);
  return absl::OkStatus();
}

}  // namespace gatehouse::credentials
