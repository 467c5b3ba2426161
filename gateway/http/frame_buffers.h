// FrameBuffers keeps the 16 KiB buffer that every nghttp2 session has for the frame it is sending on whole pages, so that
// an idle connection can give them back to the kernel. Internal to this folder.
//
// Ownership:  one a worker; outlives the buffers it gave.
// Threading:  thread-compatible.
// Errors:     Take is null when the kernel has no memory.
#pragma once

#include <cstddef>
#include <vector>

namespace gatehouse::http {

class FrameBuffers {
 public:
  static constexpr size_t kSize = 20 * 1024;

  FrameBuffers() = default;
  ~FrameBuffers();
  FrameBuffers(const FrameBuffers&) = delete;
  FrameBuffers& operator=(const FrameBuffers&) = delete;

  void* Take();
  void Return(void* buffer) { free_.push_back(buffer); }
  // Rest gives the memory of a buffer back to the kernel; it stays taken, and its content is lost.
  static void Rest(void* buffer);
  size_t taken() const { return slabs_.size() * kInSlab - free_.size(); }

 private:
  static constexpr size_t kInSlab = 64;
  std::vector<void*> slabs_;
  std::vector<void*> free_;
};

}  // namespace gatehouse::http
