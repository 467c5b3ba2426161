// PresentedChains remembers what clients presented lately, by leaf, so that an event can be explained afterwards: the
// event names the leaf, this has the chain.
//
// What schemes refused and what they accepted have room of their own: many good clients push out no refusal. A chain whose
// key its client proved to hold is not displaced by one of an unproven client for the same leaf: anybody can present
// anybody's leaf. It serves explanations only; no decision reads it.
//
// Ownership:  shares the certificates' DER with them, and keeps nothing else of them; no key ever comes here.
// Threading:  thread-safe. Remember is called when a verdict was computed, not for each request.
// Units:      bounded in octets of DER for each of the two; the oldest go first.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "gateway/base/digest.h"
#include "gateway/base/mutex.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::server {

class PresentedChains {
 public:
  explicit PresentedChains(size_t max_octets = 4 * 1024 * 1024) : max_octets_(max_octets) {}

  // What became of the chain; of an accepted one the client proved to have the key.
  enum class As : uint8_t { kUnproven, kRefused, kAccepted };
  // `presented` is leaf first. One that is larger than a quarter of the whole is not kept.
  void Remember(const Sha256Digest& leaf, absl::Span<const certs::CertificateRef> presented, As as);
  // The chain that was presented last, leaf first, by somebody with the key if there is one; empty: not known, or not any
  // more.
  std::vector<certs::CertificateRef> Find(const Sha256Digest& leaf) const;

 private:
  struct Entry {
    Sha256Digest leaf{};
    std::vector<std::shared_ptr<const std::string>> ders;
    size_t octets = 0;
    bool proven = false;
    uint64_t order = 0;  // higher is later
  };
  struct Shelf {
    std::list<Entry> entries;  // newest first
    absl::flat_hash_map<Sha256Digest, std::list<Entry>::iterator, DigestHash> by_leaf;
    size_t octets = 0;

    void Drop(std::list<Entry>::iterator entry);
  };

  const size_t max_octets_;
  mutable Mutex mutex_;
  Shelf refused_ ABSL_GUARDED_BY(mutex_), accepted_ ABSL_GUARDED_BY(mutex_);
  uint64_t order_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace gatehouse::server
