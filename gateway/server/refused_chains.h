// RefusedChains remembers what clients presented and schemes refused lately, by leaf, so that an event that says
// "refused" can be explained afterwards: the event names the leaf, this has the chain.
//
// A chain whose key its client proved to hold is not displaced by one of an unproven client for the same leaf: anybody can
// present anybody's leaf. It serves explanations only; no decision reads it.
//
// Ownership:  holds copies of the certificates' DER; no key ever comes here.
// Threading:  thread-safe. Remember is called when a verdict was computed, not for each request.
// Units:      bounded in octets of DER; the oldest go first.
#pragma once

#include <list>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "gateway/base/digest.h"
#include "gateway/base/mutex.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::server {

class RefusedChains {
 public:
  explicit RefusedChains(size_t max_octets = 4 * 1024 * 1024) : max_octets_(max_octets) {}

  // `presented` is leaf first. One that is larger than a quarter of the whole is not kept.
  void Remember(const Sha256Digest& leaf, absl::Span<const certs::CertificateRef> presented, bool proven);
  // The chain, leaf first; empty: not known, or not any more.
  std::vector<certs::CertificateRef> Find(const Sha256Digest& leaf) const;

 private:
  struct Entry {
    Sha256Digest leaf{};
    std::vector<std::string> ders;
    size_t octets = 0;
    bool proven = false;
  };
  void Drop(std::list<Entry>::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_octets_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // newest first
  absl::flat_hash_map<Sha256Digest, std::list<Entry>::iterator, DigestHash> by_leaf_ ABSL_GUARDED_BY(mutex_);
  size_t octets_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace gatehouse::server
