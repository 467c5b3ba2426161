// AppendField appends one length-prefixed field, so that digests over several fields are unambiguous:
// ("ab", "c") and ("a", "bc") differ.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse {

inline void AppendField(std::string* out, absl::string_view field) {
  uint64_t n = field.size();
  for (int i = 0; i < 8; ++i) out->push_back(static_cast<char>(n >> (8 * i)));
  out->append(field.data(), field.size());
}
inline void AppendField(std::string* out, uint64_t number) {
  for (int i = 0; i < 8; ++i) out->push_back(static_cast<char>(number >> (8 * i)));
}

}  // namespace gatehouse
