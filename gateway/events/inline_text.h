// InlineText is text of at most N octets inside its owner: what does not fit is cut, on a character boundary, and
// truncated() says so. No allocation, ever.
//
// Units: octets; N <= 65,535.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace gatehouse::events {

template <size_t N>
class InlineText {
 public:
  InlineText() = default;
  InlineText(const InlineText& other) { *this = other; }
  // Copies only the octets in use.
  InlineText& operator=(const InlineText& other) {
    if (this == &other) return *this;
    size_ = other.size_;
    truncated_ = other.truncated_;
    std::memcpy(text_, other.text_, size_);
    return *this;
  }
  InlineText& operator=(absl::string_view text) {
    Assign(text);
    return *this;
  }

  void Assign(absl::string_view text) {
    size_t n = std::min(text.size(), N);
    truncated_ = n < text.size();
    // A cut in the middle of a UTF-8 sequence drops the sequence.
    if (truncated_) {
      size_t back = 0;
      while (back < 3 && n > back && (static_cast<unsigned char>(text[n - back]) & 0xC0) == 0x80) ++back;
      if ((static_cast<unsigned char>(text[n - back]) & 0xC0) != 0x80) n -= back;
    }
    if (n != 0) std::memcpy(text_, text.data(), n);
    size_ = static_cast<uint16_t>(n);
  }
  void clear() {
    size_ = 0;
    truncated_ = false;
  }

  absl::string_view view() const { return absl::string_view(text_, size_); }
  bool empty() const { return size_ == 0; }
  bool truncated() const { return truncated_; }

 private:
  static_assert(N <= 65535);
  uint16_t size_ = 0;
  bool truncated_ = false;
  char text_[N];
};

}  // namespace gatehouse::events
