// SessionPages keeps what every nghttp2 session has and needs only while it is busy on whole pages, so that an idle
// connection can give them back to the kernel: the 16 KiB buffer for the frame it is sending, and the table of its
// streams. Internal to this folder.
//
// Ownership:  one a worker; outlives the pages it gave.
// Threading:  thread-compatible.
// Errors:     Take is null when the kernel has no memory.
#pragma once

#include <cstddef>
#include <vector>

namespace gatehouse::http {

class SessionPages {
 public:
  static constexpr size_t kFrame = 20 * 1024;
  static constexpr size_t kTable = 4 * 1024;

  // Pages is one session's; what is in them is left from another.
  struct Pages {
    void* frame = nullptr;
    void* table = nullptr;  // follows the frame
  };

  SessionPages() = default;
  ~SessionPages();
  SessionPages(const SessionPages&) = delete;
  SessionPages& operator=(const SessionPages&) = delete;

  Pages Take();
  void Return(Pages pages);
  // Rest gives the memory back to the kernel; it stays taken. The frame's content is lost; the table stays as it is
  // unless all of it is zero, which it reads as afterwards too.
  static void Rest(Pages pages);
  size_t taken() const { return slabs_.size() * kInSlab - free_.size(); }

 private:
  static constexpr size_t kSize = kFrame + kTable;
  static constexpr size_t kInSlab = 64;
  std::vector<void*> slabs_;
  std::vector<void*> free_;
};

}  // namespace gatehouse::http
