// SpscRing is a bounded queue between one producer and one consumer thread. Push never blocks: it says no when full.
// Both ends may work in place: Slot and Publish, Filled, Front and Release.
//
// Threading:  Slot, Publish, Push from one thread; Filled, Front, Release, Pop from one other; no locks.
// Units:      capacity in slots, a power of two.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace gatehouse {

template <typename T>
class SpscRing {
 public:
  // REQUIRES: capacity is a power of two.
  explicit SpscRing(size_t capacity) : mask_(capacity - 1), slots_(new T[capacity]) {}

  // Slot returns the next free slot to fill in place, or nullptr when no more than `spare` are free; Publish makes it
  // visible.
  T* Slot(size_t spare = 0) {
    size_t head = head_.load(std::memory_order_relaxed);
    if (head - cached_tail_ + spare > mask_) {
      cached_tail_ = tail_.load(std::memory_order_acquire);
      if (head - cached_tail_ + spare > mask_) return nullptr;
    }
    return &slots_[head & mask_];
  }
  void Publish() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  bool Push(T value) {
    T* slot = Slot();
    if (slot == nullptr) return false;
    *slot = std::move(value);
    Publish();
    return true;
  }
  bool Pop(T* out) {
    size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    *out = std::move(slots_[tail & mask_]);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  // Filled slots, oldest first, stay the consumer's until it gives the first `n` of them back.
  // REQUIRES: i, n within Filled().
  size_t Filled() const { return head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_relaxed); }
  T& Front(size_t i) { return slots_[(tail_.load(std::memory_order_relaxed) + i) & mask_]; }
  void Release(size_t n) { tail_.store(tail_.load(std::memory_order_relaxed) + n, std::memory_order_release); }
  bool empty() const {
    return tail_.load(std::memory_order_acquire) == head_.load(std::memory_order_acquire);
  }

 private:
  const size_t mask_;
  const std::unique_ptr<T[]> slots_;
  alignas(64) std::atomic<size_t> head_{0};
  size_t cached_tail_ = 0;  // producer's copy
  alignas(64) std::atomic<size_t> tail_{0};
};

}  // namespace gatehouse
