// SecretBox seals octets with AES-256-GCM under one key: nonce (12, random) ‖ ciphertext ‖ tag (16).
//
// Threading:  immutable; any thread.
// Errors:     DATA_LOSS (not sealed by this key for this place); key files: FAILED_PRECONDITION, UNAVAILABLE.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/secret.h"

namespace gatehouse {

class SecretBox {
 public:
  static constexpr size_t kKeyBytes = 32;
  // REQUIRES: key.size() == kKeyBytes.
  explicit SecretBox(Secret key) : key_(std::move(key)) {}

  // `place` is bound to the result: it opens with the same one only.
  std::string Seal(absl::string_view plain, absl::string_view place) const;
  absl::StatusOr<std::string> Open(absl::string_view sealed, absl::string_view place) const;
  // A value that tells keys apart and tells nothing about them. KeyId is for people: 16 hex digits of the key's SHA-256.
  std::string KeyId() const;
  std::string Fingerprint() const;

 private:
  Secret key_;
};

// Reads a key file, or makes one (0600, synced) when there is none. One that others may read is refused.
absl::StatusOr<Secret> LoadOrCreateKey(const std::string& path);
// The same, and NOT_FOUND when there is none.
absl::StatusOr<Secret> LoadKey(const std::string& path);
// Puts the file `from` in the place of `to`, for good when it returns.
absl::Status ReplaceKey(const std::string& from, const std::string& to);

}  // namespace gatehouse
