// LruCache keeps the `capacity` most recently used entries, fewer when they weigh too much together.
//
// Ownership:  owns keys and values; a pointer returned by Find lives until the next non-const call.
// Threading:  thread-compatible.
// Units:      capacity in entries, at least 1; weight in what Weight says of a value, which must not change while it is held.
//             The latest entry stays, whatever it weighs.
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace gatehouse {

struct Weightless {
  template <typename V>
  size_t operator()(const V&) const {
    return 0;
  }
};

template <typename K, typename V, typename Hash = absl::Hash<K>, typename Weight = Weightless>
class LruCache {
 public:
  explicit LruCache(size_t capacity, size_t max_weight = SIZE_MAX)
      : capacity_(capacity == 0 ? 1 : capacity), max_weight_(max_weight) {}

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
    weight_ += Weight()(value);
    if (V* old = Find(key)) {
      weight_ -= Weight()(*old);
      *old = std::move(value);
    } else {
      order_.emplace_front(key, std::move(value));
      index_[key] = order_.begin();
    }
    while (order_.size() > capacity_ || (weight_ > max_weight_ && order_.size() > 1)) {
      index_.erase(order_.back().first);
      Drop(std::prev(order_.end()));
    }
    return order_.front().second;
  }
  bool Erase(const K& key) {
    auto it = index_.find(key);
    if (it == index_.end()) return false;
    Drop(it->second);
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
        it = Drop(it);
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
    weight_ = 0;
  }
  size_t size() const { return order_.size(); }

 private:
  using Entry = std::pair<K, V>;
  typename std::list<Entry>::iterator Drop(typename std::list<Entry>::iterator entry) {
    weight_ -= Weight()(entry->second);
    return order_.erase(entry);
  }

  const size_t capacity_, max_weight_;
  size_t weight_ = 0;
  std::list<Entry> order_;  // most recent first
  absl::flat_hash_map<K, typename std::list<Entry>::iterator, Hash> index_;
};

}  // namespace gatehouse
