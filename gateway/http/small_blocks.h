// SmallBlocks keeps the small pieces of the heap that nghttp2 gives back when a stream ends, for the next stream: it takes
// five for each. Internal to this folder.
//
// Ownership:  one a worker; what is kept is freed with it.
// Threading:  thread-compatible.
// With AddressSanitizer nothing is kept.
#pragma once

#include <malloc.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "gateway/base/sanitizers.h"

namespace gatehouse::http {

class SmallBlocks {
 public:
  SmallBlocks() = default;
  ~SmallBlocks() {
    for (Class& c : classes_) {
      while (void* block = Pop(c)) std::free(block);
    }
  }
  SmallBlocks(const SmallBlocks&) = delete;
  SmallBlocks& operator=(const SmallBlocks&) = delete;

  // Like malloc and free; blocks may go to and come from those too.
  void* Malloc(size_t n) {
    const size_t c = (n + 7) / 16;
    if (n > 0 && c < kClasses) {
      if (void* block = Pop(classes_[c])) return block;
    }
    return std::malloc(n);
  }
  // How many are kept.
  size_t kept() const {
    size_t n = 0;
    for (const Class& c : classes_) n += c.count;
    return n;
  }
  static constexpr size_t kMost = kAddressSanitizer ? 0 : 512;  // of a size

  void Free(void* p) {
    if (p == nullptr) return;
    // A block has 16 c + 8 octets; with another malloc than glibc's, at least.
    const size_t c = (malloc_usable_size(p) - 8) / 16;
    if (c == 0 || c >= kClasses || classes_[c].count >= kMost) return std::free(p);
    classes_[c].first = ::new (p) Block{classes_[c].first};
    ++classes_[c].count;
  }

 private:
  static constexpr size_t kClasses = 17;  // up to 264 octets
  struct Block {
    Block* next;
  };
  struct Class {
    Block* first = nullptr;
    size_t count = 0;
  };

  static void* Pop(Class& c) {
    Block* block = c.first;
    if (block == nullptr) return nullptr;
    c.first = block->next;
    --c.count;
    return block;
  }

  std::array<Class, kClasses> classes_;
};

}  // namespace gatehouse::http
