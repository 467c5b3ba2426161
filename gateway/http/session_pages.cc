#include "gateway/http/session_pages.h"

#include <sys/mman.h>

#include <cstring>

namespace gatehouse::http {
namespace {

bool AllZero(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  return bytes[0] == 0 && std::memcmp(bytes, bytes + 1, size - 1) == 0;
}

}  // namespace

SessionPages::~SessionPages() {
  for (void* slab : slabs_) munmap(slab, kInSlab * kSize);
}

SessionPages::Pages SessionPages::Take() {
  if (free_.empty()) {
    void* slab = mmap(nullptr, kInSlab * kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED) return {};
    // Most frames touch one page of their buffer; a huge page would be touched whole.
    madvise(slab, kInSlab * kSize, MADV_NOHUGEPAGE);
    slabs_.push_back(slab);
    for (size_t i = kInSlab; i-- > 0;) free_.push_back(static_cast<char*>(slab) + i * kSize);
  }
  char* pages = static_cast<char*>(free_.back());
  free_.pop_back();
  return {pages, pages + kFrame};
}

void SessionPages::Return(Pages pages) {
  if (pages.frame != nullptr) free_.push_back(pages.frame);
}

void SessionPages::Rest(Pages pages) {
  if (pages.frame == nullptr) return;
  // One call when it can be.
  madvise(pages.frame, AllZero(pages.table, kTable) ? kSize : kFrame, MADV_DONTNEED);
}

}  // namespace gatehouse::http
