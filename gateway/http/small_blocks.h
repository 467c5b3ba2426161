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

#include "gateway/base/prefetch.h"
#include "gateway/base/sanitizers.h"

namespace gatehouse::http {

class SmallBlocks {
 public:
  SmallBlocks() = default;
  ~SmallBlocks() {
    for (size_t c = 0; c < kClasses; ++c) {
      while (void* block = Pop(c)) std::free(block);
    }
  }
  SmallBlocks(const SmallBlocks&) = delete;
  SmallBlocks& operator=(const SmallBlocks&) = delete;

  // Like malloc and free; blocks may go to and come from those too.
  void* Malloc(size_t n) {
    const size_t c = (n + 7) / 16;
    if (n > 0 && c < kClasses) {
      if (void* block = Pop(c)) return block;
    }
    return std::malloc(n);
  }
  // Octets that are kept.
  size_t kept() const { return kept_; }
  static constexpr size_t kMost = kAddressSanitizer ? 0 : size_t{2} << 20;  // octets in all: some 2,500 streams'

  void Free(void* p) {
    if (p == nullptr) return;
    // A block has 16 c + 8 octets; with another malloc than glibc's, at least.
    const size_t c = (malloc_usable_size(p) - 8) / 16;
    if (c == 0 || c >= kClasses || kept_ + SizeOf(c) > kMost) return std::free(p);
    classes_[c] = ::new (p) Block{classes_[c]};
    kept_ += SizeOf(c);
  }

 private:
  static constexpr size_t kClasses = 17;  // up to 264 octets
  struct Block {
    Block* next;
  };

  static constexpr size_t SizeOf(size_t c) { return 16 * c + 8; }
  void* Pop(size_t c) {
    Block* block = classes_[c];
    if (block == nullptr) return nullptr;
    classes_[c] = block->next;
    Prefetch(block->next, 1);  // whoever asks next reads it
    kept_ -= SizeOf(c);
    return block;
  }

  std::array<Block*, kClasses> classes_{};
  size_t kept_ = 0;
};

}  // namespace gatehouse::http
