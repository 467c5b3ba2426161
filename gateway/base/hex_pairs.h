// PrintHex for where digits are made for every request.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gatehouse {

// The two lower-case digits of each octet, one after the other.
inline constexpr std::array<char, 512> kHexPairs = [] {
  std::array<char, 512> pairs{};
  for (size_t i = 0; i < 256; ++i) {
    pairs[2 * i] = "0123456789abcdef"[i >> 4];
    pairs[2 * i + 1] = "0123456789abcdef"[i & 15];
  }
  return pairs;
}();

// Writes the lowest `octets` octets of `value`, the highest first: two digits each.
inline void PrintHex(uint64_t value, size_t octets, char* out) {
  for (size_t i = octets; i-- > 0; value >>= 8) std::memcpy(out + 2 * i, &kHexPairs[2 * (value & 0xFF)], 2);
}

}  // namespace gatehouse
