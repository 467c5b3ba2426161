// JoinToken is the text that lets a gateway in once: `gh1.ID.SECRET.ANCHOR`. ANCHOR is the SHA-256 of the last certificate that the
// control API presents, so that the gateway knows whom it gives the secret to.
//
// Threading:  pure functions.
// Errors:     Parse: INVALID_ARGUMENT, without a word of the text.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/digest.h"
#include "gateway/base/secret.h"

namespace gatehouse {

struct JoinToken {
  std::string id;      // 12 hex digits
  std::string secret;  // 64 hex digits
  Sha256Digest anchor{};

  std::string ToString() const;
  static absl::StatusOr<JoinToken> Parse(absl::string_view text);
};

}  // namespace gatehouse
