#include "gateway/http/frame_buffers.h"

#include <sys/mman.h>

namespace gatehouse::http {

FrameBuffers::~FrameBuffers() {
  for (void* slab : slabs_) munmap(slab, kInSlab * kSize);
}

void* FrameBuffers::Take() {
  if (free_.empty()) {
    void* slab = mmap(nullptr, kInSlab * kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED) return nullptr;
    // Most frames touch one page of their buffer; a huge page would be touched whole.
    madvise(slab, kInSlab * kSize, MADV_NOHUGEPAGE);
    slabs_.push_back(slab);
    for (size_t i = kInSlab; i-- > 0;) free_.push_back(static_cast<char*>(slab) + i * kSize);
  }
  void* buffer = free_.back();
  free_.pop_back();
  return buffer;
}

void FrameBuffers::Rest(void* buffer) { madvise(buffer, kSize, MADV_DONTNEED); }

}  // namespace gatehouse::http
