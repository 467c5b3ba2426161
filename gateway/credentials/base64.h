// Strict base64 of RFC 4648: absl's decoder forgives missing padding, white space and stray
// trailing bits.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse::credentials {

enum class Base64Padding : uint8_t { kRequired, kForbidden };

// DecodeBase64 is false, with `out` wiped, unless `text` is the one canonical encoding of some
// octets.
bool DecodeBase64(absl::string_view text, Base64Padding padding, std::string* out);

}  // namespace gatehouse::credentials
