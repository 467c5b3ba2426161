// Read says what a service's reply is worth. A reply is believed whole or not at all: a claim that is reserved or malformed
// makes it no answer, it is not left out.
//
// Threading:  pure.
// Errors:     INVALID_ARGUMENT with the field that is wrong; never a value of it, since it comes from elsewhere.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/reason.h"
#include "gateway/credentials/user_store.h"
#include "gateway/delegate/client.h"

namespace gatehouse::delegate {

inline constexpr size_t kMaxClaims = 64;
inline constexpr size_t kMaxClaimTypeBytes = 256;
inline constexpr size_t kMaxClaimValueBytes = 4096;

struct Believed {
  credentials::UserRef user;     // null: refused
  Reason reason = Reason::kNone;  // why
  absl::Duration lifetime = absl::ZeroDuration();
};

// `user` is who was asked about.
absl::StatusOr<Believed> Read(const Reply& reply, absl::string_view user);

}  // namespace gatehouse::delegate
