// Secret is a byte string that zeroes itself when it dies and does not print.
//
// Ownership: owns its bytes; move-only, so that no copy is forgotten.
// Threading: thread-compatible.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse {

class Secret {
 public:
  Secret() = default;
  explicit Secret(absl::string_view bytes) : bytes_(bytes.data(), bytes.size()) {}
  explicit Secret(std::string&& bytes);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  // Reveal is the one way to the bytes; the view dies with this.
  absl::string_view Reveal() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  size_t size() const { return bytes_.size(); }

 private:
  void Wipe();
  std::string bytes_;
};

// ConstantTimeEquals compares without a data-dependent branch; lengths may leak.
bool ConstantTimeEquals(absl::string_view a, absl::string_view b);

}  // namespace gatehouse
