// Counter is a number that one thread counts and any thread reads: a plain load and store where an atomic add would
// cost twenty times as much.
//
// Threading:  Add, Set: the owning thread only. value(): any thread; monotonic as seen by one reader.
#pragma once

#include <atomic>
#include <cstdint>

namespace gatehouse {

class Counter {
 public:
  void Add(int64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

}  // namespace gatehouse
