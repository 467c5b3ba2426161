// AddressCounts says how many connections of a listener each client address has (IPv6: each /64), over all workers.
//
// Ownership:  a Place gives its address back when it goes, and keeps the counts alive.
// Threading:  thread-safe.
// Errors:     none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "gateway/base/mutex.h"

namespace gatehouse::server {

class AddressCounts : public std::enable_shared_from_this<AddressCounts> {
 public:
  class Place {
   public:
    Place() = default;
    Place(Place&& o) noexcept : counts_(std::move(o.counts_)), key_(std::move(o.key_)) {}
    Place& operator=(Place&& o) noexcept {
      std::swap(counts_, o.counts_);
      std::swap(key_, o.key_);
      return *this;
    }
    ~Place() {
      if (counts_ != nullptr) counts_->GiveBack(key_);
    }
    bool granted() const { return counts_ != nullptr; }
    const std::string& key() const { return key_; }

   private:
    friend class AddressCounts;
    Place(std::shared_ptr<AddressCounts> counts, std::string key) : counts_(std::move(counts)), key_(std::move(key)) {}
    std::shared_ptr<AddressCounts> counts_;
    std::string key_;
  };

  // Take counts one more of `key` (credentials::AddressKey), unless there are `limit` (0: none) already: then no place is
  // granted.
  Place Take(const std::string& key, uint32_t limit) {
    MutexLock lock(&mutex_);
    uint32_t& count = counts_[key];
    if (limit != 0 && count >= limit) return Place();
    ++count;
    return Place(shared_from_this(), key);
  }
  size_t addresses() const {
    MutexLock lock(&mutex_);
    return counts_.size();
  }

 private:
  void GiveBack(const std::string& key) {
    MutexLock lock(&mutex_);
    auto it = counts_.find(key);
    if (--it->second == 0) counts_.erase(it);
  }

  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, uint32_t> counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::server
