#include "gateway/credentials/basic.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "gateway/base/escape.h"
#include "gateway/credentials/base64.h"

namespace gatehouse::credentials {
namespace {

bool HasControl(absl::string_view text) {
  for (char c : text) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

}  // namespace

BasicResult ParseBasic(absl::string_view field_value) {
  if (field_value.size() > kMaxAuthorizationBytes) return BasicError::kTooLarge;
  const size_t space = field_value.find(' ');
  if (!absl::EqualsIgnoreCase(field_value.substr(0, space), "basic")) {
    return BasicError::kOtherScheme;
  }
  if (space == absl::string_view::npos) return BasicError::kMalformed;
  // RFC 9110 section 11.4: auth-scheme 1*SP token68.
  absl::string_view token = field_value.substr(space);
  token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));

  std::string decoded;
  if (!DecodeBase64(token, Base64Padding::kRequired, &decoded)) return BasicError::kMalformed;
  const Secret pair(std::move(decoded));
  const absl::string_view text = pair.Reveal();
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos || colon == 0) return BasicError::kMalformed;
  if (HasControl(text) || !IsValidUtf8(text)) return BasicError::kMalformed;
  return BasicCredentials{std::string(text.substr(0, colon)), Secret(text.substr(colon + 1))};
}

}  // namespace gatehouse::credentials
