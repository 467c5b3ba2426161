#include "gateway/base/json_text.h"

#include <cstdint>

#include "absl/strings/str_format.h"

namespace gatehouse {
namespace {

bool Acts(uint32_t c) {
  return (c >= 0x7f && c <= 0x9f) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb);
}

}  // namespace

std::string SafeJson(absl::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (size_t i = 0; i < json.size(); ++i) {
    const auto lead = static_cast<uint8_t>(json[i]);
    // Those that act have two or three octets, or are DEL.
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead != 0x7f && (length == 1 || length == 4 || i + length > json.size())) {
      out += json[i];
      continue;
    }
    uint32_t c = length == 1 ? lead : length == 2 ? lead & 0x1fu : lead & 0x0fu;
    for (size_t k = 1; k < length; ++k) c = c << 6 | (static_cast<uint8_t>(json[i + k]) & 0x3fu);
    if (Acts(c)) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      out.append(json.data() + i, length);
    }
    i += length - 1;
  }
  return out;
}

}  // namespace gatehouse
