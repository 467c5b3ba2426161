// VerdictCache remembers certificate verdicts, so that a returning client costs one digest and not one chain build.
//
// A valid verdict is found by the leaf alone; any other only by the digest of the whole presented list, so that
// whoever holds a public leaf cannot poison its entry by leaving out the intermediates. Never call Store before
// possession is proven.
//
// Ownership:  shares verdicts; of refused ones the caller leaves out the certificates, which are anybody's.
// Threading:  thread-compatible; one per worker, used only on that worker's loop.
// Units:      capacity in entries for each half, a leaf above kUsualFootprint counting for more; times are wall-clock
//             from the given Clock.
// Errors:     none; a miss is null. Never stores kIndeterminate.
#pragma once

#include <cstdint>
#include <memory>

#include "gateway/base/clock.h"
#include "gateway/base/digest.h"
#include "gateway/base/lru.h"
#include "gateway/certs/footprint.h"
#include "gateway/certs/verdict.h"

namespace gatehouse::certs {

using VerdictRef = std::shared_ptr<const Verdict>;

class VerdictCache {
 public:
  // REQUIRES: capacity > 0; clock outlives this.
  VerdictCache(size_t capacity, const Clock& clock);

  // FindValid returns the valid verdict on the leaf with this SHA-256 under this scheme epoch, if still fresh.
  VerdictRef FindValid(const Sha256Digest& leaf, uint64_t epoch);
  // FindRefused returns the verdict on exactly this presented list (see PresentedKey), if still fresh.
  VerdictRef FindRefused(const Sha256Digest& list, uint64_t epoch);
  void Store(const Sha256Digest& list, uint64_t epoch, VerdictRef verdict);
  // Drops every verdict of `epoch`.
  void Forget(uint64_t epoch);
  size_t size() const { return valid_.size() + refused_.size(); }

 private:
  struct Key {
    Sha256Digest digest;
    uint64_t epoch;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    size_t operator()(const Key& k) const {
      return static_cast<size_t>(Epoch(k.digest) ^ (k.epoch * 0x9E3779B97F4A7C15u));
    }
  };
  struct Weight {
    size_t operator()(const VerdictRef& verdict) const {
      return verdict->leaf == nullptr ? 0 : Footprint(*verdict->leaf);
    }
  };
  using Map = LruCache<Key, VerdictRef, KeyHash, Weight>;
  VerdictRef FindIn(Map* map, const Sha256Digest& digest, uint64_t epoch);

  Map valid_;    // by leaf
  Map refused_;  // by presented list
  const Clock& clock_;
};

}  // namespace gatehouse::certs
