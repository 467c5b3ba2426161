// Looks at, and changes, whole texts eight octets at a time: what every field of every message goes through.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace gatehouse {

namespace octets {

constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHigh = 0x80 * kOnes;

inline uint64_t Load(const char* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}
// Not zero if and only if an octet of `word` is.
constexpr uint64_t HasZero(uint64_t word) { return (word - kOnes) & ~word & kHigh; }
constexpr uint64_t HasOctet(uint64_t word, uint8_t octet) { return HasZero(word ^ (octet * kOnes)); }
// Not zero if and only if an octet is below `bound`, which is at most 128.
constexpr uint64_t HasBelow(uint64_t word, uint8_t bound) { return (word - bound * kOnes) & ~word & kHigh; }
// ASCII letters in lower case, the rest as it is.
constexpr uint64_t Lower(uint64_t word) {
  const uint64_t seven = word & ~kHigh;
  const uint64_t from_a = seven + (0x80 - 'A') * kOnes;       // the high bit: at least 'A'
  const uint64_t above_z = seven + (0x80 - 'Z' - 1) * kOnes;  // above 'Z'
  return word | ((from_a & ~above_z & ~word & kHigh) >> 2);
}

// Whether `test` of some word of the text is not zero. It may see octets twice, and in short texts spaces behind the end.
template <typename Test>
bool Any(absl::string_view text, Test test) {
  const size_t n = text.size();
  if (n < sizeof(uint64_t)) {
    uint64_t word = ' ' * kOnes;
    for (size_t i = 0; i < n; ++i) word = word << 8 | static_cast<unsigned char>(text[i]);
    return test(word) != 0;
  }
  uint64_t found = test(Load(text.data() + n - sizeof(uint64_t)));
  for (size_t i = 0; i + sizeof(uint64_t) < n; i += sizeof(uint64_t)) found |= test(Load(text.data() + i));
  return found != 0;
}

}  // namespace octets

// Whether there is a CR, LF or NUL.
inline bool BreaksLine(absl::string_view text) {
  using octets::HasOctet;
  return octets::Any(text, [](uint64_t word) { return octets::HasZero(word) | HasOctet(word, '\r') | HasOctet(word, '\n'); });
}

// Whether there is a control character, DEL among them.
inline bool HasControl(absl::string_view text) {
  return octets::Any(text, [](uint64_t word) { return octets::HasBelow(word, 0x20) | octets::HasOctet(word, 0x7F); });
}

// ASCII letters in lower case.
inline void ToLowerAscii(char* text, size_t n) {
  constexpr size_t kWord = sizeof(uint64_t);
  if (n < kWord) {
    for (size_t i = 0; i < n; ++i) text[i] = static_cast<char>(octets::Lower(static_cast<unsigned char>(text[i])));
    return;
  }
  const uint64_t last = octets::Lower(octets::Load(text + n - kWord));  // before any of it is written: it may overlap the others
  for (size_t i = 0; i + kWord < n; i += kWord) {
    const uint64_t word = octets::Lower(octets::Load(text + i));
    std::memcpy(text + i, &word, kWord);
  }
  std::memcpy(text + n - kWord, &last, kWord);
}

}  // namespace gatehouse
