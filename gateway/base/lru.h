// LruCache keeps the `capacity` most recently used entries.
//
// Ownership:  owns keys and values; a pointer returned by Find lives until the next non-const call.
// Threading:  thread-compatible.
// Units:      capacity in entries, at least 1.
#pragma once

#include <functional>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace gatehouse {

template <typename K, typename V, typename Hash = absl::Hash<K>>
class LruCache {
 public:
  explicit LruCache(size_t capacity) : capacity_(capacity == 0 ? 1 : capacity) {}

  V* Find(const K& key) {
    auto it = index_.find(key);
    if (it == index_.end()) return nullptr;
    order_.splice(order_.begin(), order_, it->second);
    return &it->second->second;
  }
  // Peek finds without marking the entry as used.
  V* Peek(const K& key) {
    auto it = index_.find(key);
    return it == index_.end() ? nullptr : &it->second->second;
  }
  // Calls `f(key, value)` for each entry, the most recently used first.
  template <typename F>
  void ForEach(F f) const {
    for (const Entry& entry : order_) f(entry.first, entry.second);
  }
  V& Put(const K& key, V value) {
    if (V* old = Find(key)) return *old = std::move(value);
    if (order_.size() >= capacity_) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
    order_.emplace_front(key, std::move(value));
    index_[key] = order_.begin();
    return order_.front().second;
  }
  bool Erase(const K& key) {
    auto it = index_.find(key);
    if (it == index_.end()) return false;
    order_.erase(it->second);
    index_.erase(it);
    return true;
  }
  // Removes every entry for which `pred(key, value)` is true; returns how many.
  template <typename Pred>
  size_t EraseIf(Pred pred) {
    size_t n = 0;
    for (auto it = order_.begin(); it != order_.end();) {
      if (pred(it->first, it->second)) {
        index_.erase(it->first);
        it = order_.erase(it);
        ++n;
      } else {
        ++it;
      }
    }
    return n;
  }
  void Clear() {
    index_.clear();
    order_.clear();
  }
  size_t size() const { return order_.size(); }

 private:
  using Entry = std::pair<K, V>;
  const size_t capacity_;
  std::list<Entry> order_;  // most recent first
  absl::flat_hash_map<K, typename std::list<Entry>::iterator, Hash> index_;
};

}  // namespace gatehouse
