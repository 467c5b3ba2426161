// Text whose octets do not depend on who typed it: RFC 8265's OpaqueString, as a demand instead of a
// repair. What it would change is refused, so that the octets that a browser sends are those that were
// hashed.
//
// Threading:  pure.
#pragma once

#include <cstdint>

namespace gatehouse::credentials {

enum class CharacterProblem : uint8_t {
  kNone,
  kSpelling,   // Unicode's NFC changes it, or may join it with what stands before it
  kSpace,      // a space other than U+0020 (OpaqueString maps them to it)
  kInvisible,  // formats, joiners, direction marks
  kPrivate,    // private use, or no character at all
};

// REQUIRES: c <= 0x10FFFF, no surrogate.
CharacterProblem ProblemOf(char32_t c);

}  // namespace gatehouse::credentials
