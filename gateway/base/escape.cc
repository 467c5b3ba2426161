#include "gateway/base/escape.h"

#include <cstdint>

#include "absl/strings/str_format.h"

namespace gatehouse {
namespace {

// Decodes one code point at text[i]; returns its length, or 0 when the octets are not UTF-8 (RFC 3629).
size_t Decode(absl::string_view text, size_t i, uint32_t* out) {
  auto at = [&](size_t k) { return static_cast<uint8_t>(text[k]); };
  uint8_t b = at(i);
  size_t n = b < 0x80 ? 1 : b >= 0xC2 && b < 0xE0 ? 2 : b >= 0xE0 && b < 0xF0 ? 3 : b >= 0xF0 && b < 0xF5 ? 4 : 0;
  if (n == 0 || i + n > text.size()) return 0;
  uint32_t cp = n == 1 ? b : b & (0xFFu >> (n + 1));
  for (size_t k = 1; k < n; ++k) {
    if ((at(i + k) & 0xC0) != 0x80) return 0;
    cp = cp << 6 | (at(i + k) & 0x3Fu);
  }
  if ((n == 3 && cp < 0x800) || (n == 4 && cp < 0x10000) || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) return 0;
  *out = cp;
  return n;
}

bool IsUnsafe(uint32_t cp) {
  return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0x061C || (cp >= 0x200B && cp <= 0x200F) ||
         (cp >= 0x2028 && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x206F) || cp == 0xFEFF ||
         (cp >= 0xFFF9 && cp <= 0xFFFB) || (cp >= 0xE0000 && cp <= 0xE007F);
}

}  // namespace

std::string EscapeText(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    uint32_t cp = 0;
    size_t n = Decode(text, i, &cp);
    if (n == 0) {
      absl::StrAppendFormat(&out, "\\x%02X", static_cast<uint8_t>(text[i]));
      n = 1;
    } else if (cp == '\\') {
      out += "\\\\";
    } else if (IsUnsafe(cp)) {
      if (cp < 0x100) {
        absl::StrAppendFormat(&out, "\\x%02X", cp);
      } else {
        absl::StrAppendFormat(&out, "\\u{%04X}", cp);
      }
    } else {
      out.append(text.data() + i, n);
    }
    i += n;
  }
  return out;
}

bool IsValidUtf8(absl::string_view text) {
  uint32_t cp;
  for (size_t i = 0; i < text.size();) {
    size_t n = Decode(text, i, &cp);
    if (n == 0) return false;
    i += n;
  }
  return true;
}

absl::string_view Beginning(absl::string_view text, size_t octets) {
  if (text.size() <= octets) return text;
  size_t end = octets;
  // Back to the first octet of what would be cut; four and more that follow none are no UTF-8 anyhow.
  while (end > 0 && octets - end < 4 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, octets - end < 4 ? end : octets);
}

}  // namespace gatehouse
