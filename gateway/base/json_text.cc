#include "gateway/base/json_text.h"

#include <cstdint>

#include "absl/strings/str_format.h"

namespace gatehouse {
namespace {

// What a terminal acts on, or nobody sees.
bool Acts(uint32_t c) {
  return (c >= 0x7f && c <= 0x9f) || c == 0xad || (c >= 0x600 && c <= 0x603) || c == 0x61c || c == 0x6dd || c == 0x70f || c == 0x17b4 || c == 0x17b5 || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
         (c >= 0x1d173 && c <= 0x1d17a) || c == 0xe0001 || (c >= 0xe0020 && c <= 0xe007f);
}

}  // namespace

std::string SafeJson(absl::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (size_t i = 0; i < json.size(); ++i) {
    const auto lead = static_cast<uint8_t>(json[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead != 0x7f && (length == 1 || i + length > json.size())) {
      out += json[i];
      continue;
    }
    uint32_t c = length == 1 ? lead : length == 2 ? lead & 0x1fu : length == 3 ? lead & 0x0fu : lead & 0x07u;
    for (size_t k = 1; k < length; ++k) c = c << 6 | (static_cast<uint8_t>(json[i + k]) & 0x3fu);
    if (!Acts(c)) {
      out.append(json.data() + i, length);
    } else if (c < 0x10000) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      absl::StrAppendFormat(&out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
    }
    i += length - 1;
  }
  return out;
}

}  // namespace gatehouse
