// OutBuffer gathers what a codec produces in one turn. One per worker is enough: it is emptied into TLS at once.
//
// Units: bytes; `capacity` is where codecs stop, a single frame or head may go over it.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse::http {

class OutBuffer {
 public:
  explicit OutBuffer(size_t capacity = 128 * 1024) : capacity_(capacity) { bytes_.reserve(capacity + 32 * 1024); }
  void Append(absl::string_view s) { bytes_.append(s.data(), s.size()); }
  void Append(const void* p, size_t n) { bytes_.append(static_cast<const char*>(p), n); }
  bool full() const { return bytes_.size() >= capacity_; }
  size_t room() const { return full() ? 0 : capacity_ - bytes_.size(); }
  absl::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  void Clear() { bytes_.clear(); }

 private:
  const size_t capacity_;
  std::string bytes_;
};

}  // namespace gatehouse::http
