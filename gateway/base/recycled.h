// Recycled lets the objects of one class use each other's memory. Where a thread makes and drops a thousand of them at once,
// malloc's own cache is too small, and merges and splits its pieces each time.
//
//   class Request final : public Recycled<Request> { ... };
//
// Ownership:  each thread keeps what is deleted on it, at most kMost pieces, and frees them when it ends.
// Threading:  an object may be deleted on another thread than it was made on.
// With AddressSanitizer nothing is kept: it could not tell an object from the next one in its place.
#pragma once

#include <cstddef>
#include <new>

#include "gateway/base/prefetch.h"
#include "gateway/base/sanitizers.h"

namespace gatehouse {

template <typename T>
class Recycled {
 public:
  static void* operator new(size_t size) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    Kept& kept = OfThread();
    if (kept.first == nullptr || size != sizeof(T)) return ::operator new(size);
    Piece* piece = kept.first;
    kept.first = piece->next;
    Prefetch(kept.first, sizeof(T));  // for the next one, which is mostly made soon
    --kept.count;
    return piece;
  }
  static void operator delete(void* p, size_t size) {
    Kept& kept = OfThread();
    if (kept.count >= kMost || size != sizeof(T)) return ::operator delete(p);
    kept.first = ::new (p) Piece{kept.first};
    ++kept.count;
  }

 protected:
  ~Recycled() = default;

 private:
  static constexpr size_t kMost = kAddressSanitizer ? 0 : 1024;
  struct Piece {
    Piece* next;
  };
  struct Kept {
    Piece* first = nullptr;
    size_t count = 0;
    ~Kept() {
      for (Piece* next; first != nullptr; first = next) {
        next = first->next;
        ::operator delete(first);
      }
      count = kMost;  // what is deleted still later is not kept
    }
  };
  static Kept& OfThread() {
    thread_local Kept kept;
    return kept;
  }
};

}  // namespace gatehouse
