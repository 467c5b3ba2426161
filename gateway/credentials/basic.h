// ParseBasic reads the value of one Authorization field as RFC 7617 credentials, strictly: base64
// with its padding and no stray bits, UTF-8, no control characters, the first colon separates, the
// user is not empty.
//
// Ownership:  the result owns copies; the password zeroes itself.
// Threading:  pure.
// Units:      sizes in octets of the field value.
// Errors:     BasicError. That the field occurs once is the caller's check: repeated is 400.
#pragma once

#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "gateway/base/secret.h"

namespace gatehouse::credentials {

inline constexpr size_t kMaxAuthorizationBytes = 8 * 1024;

struct BasicCredentials {
  std::string user;  // valid UTF-8, never empty, no colon, no control character
  Secret password;   // may be empty, which is always a wrong password
};

enum class BasicError : uint8_t {
  kOtherScheme,  // the scheme word is not Basic: no result, another scheme may answer
  kMalformed,    // 401, MALFORMED_CREDENTIALS
  kTooLarge,     // 400, MALFORMED_REQUEST
};

using BasicResult = std::variant<BasicCredentials, BasicError>;

BasicResult ParseBasic(absl::string_view field_value);

}  // namespace gatehouse::credentials
