// Password hashes in modular crypt format: argon2id, bcrypt ($2a/$2b/$2y), yescrypt and
// SHA-512-crypt. What is imported is bounded in cost, rounds and memory, so that one stored hash
// cannot hold a verifier thread for minutes.
//
// Threading:  pure; needs up to 32 KiB plus the hash's own memory on the heap, none on the stack.
// Units:      memory in bytes, bcrypt cost as log2 of rounds.
// Errors:     kInvalidArgument naming the field of the hash and the bound; never the hash itself.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gatehouse::credentials {

enum class HashKind : uint8_t { kArgon2id, kBcrypt, kYescrypt, kSha512Crypt };

// "argon2id", "bcrypt", "yescrypt", "sha512-crypt".
absl::string_view HashKindName(HashKind kind);

// The work that one verification takes. Equal costs take equal time.
struct HashCost {
  HashKind kind = HashKind::kArgon2id;
  uint32_t cost = 0;          // argon2id: passes; bcrypt, yescrypt: log2; SHA-512-crypt: rounds
  uint64_t memory_bytes = 0;  // argon2id and yescrypt
  uint32_t lanes = 0;         // argon2id
  friend bool operator==(const HashCost&, const HashCost&) = default;
};

// Bounds of what ParseHash admits.
inline constexpr uint32_t kMinBcryptCost = 4, kMaxBcryptCost = 15;
inline constexpr uint32_t kMaxArgon2Passes = 16, kMaxArgon2Lanes = 16;
inline constexpr uint64_t kMaxHashMemory = 256ull << 20;
// Passes x memory of argon2id.
inline constexpr uint64_t kMaxArgon2Work = 1ull << 30;
inline constexpr uint32_t kMinSha512Rounds = 1000, kMaxSha512Rounds = 1'000'000;
// A longer password is a wrong password for every kind.
inline constexpr size_t kMaxPasswordBytes = 511;
inline constexpr size_t kMaxBcryptPasswordBytes = 72;

// ParseHash checks the whole syntax of `mcf` and its bounds.
absl::StatusOr<HashCost> ParseHash(absl::string_view mcf);

// VerifyPassword is true when `password` hashes to `mcf`. A hash that ParseHash refuses, a library
// failure or a lack of memory is false. Blocks for as long as the hash costs: never on a loop.
bool VerifyPassword(absl::string_view mcf, absl::string_view password);

struct HashOptions {
  uint32_t argon2_passes = 3;
  uint64_t argon2_memory_bytes = 32ull << 20;
  uint32_t argon2_lanes = 1;
  uint32_t bcrypt_cost = 12;
};

// HashPassword makes a new hash with a random salt: argon2id or bcrypt, nothing else. Refuses an
// empty password, control characters and bytes that are not UTF-8 (RFC 7617 could never send them)
// and, for bcrypt, more than 72 bytes.
absl::StatusOr<std::string> HashPassword(HashKind kind, absl::string_view password,
                                         const HashOptions& options = {});

// PasswordVerifier is what the checker calls, so that tests can count and decide.
//
// Threading:  thread-safe.
class PasswordVerifier {
 public:
  virtual ~PasswordVerifier() = default;
  virtual bool Verify(absl::string_view mcf, absl::string_view password) const = 0;
};

class LibraryPasswordVerifier final : public PasswordVerifier {
 public:
  bool Verify(absl::string_view mcf, absl::string_view password) const override {
    return VerifyPassword(mcf, password);
  }
};

}  // namespace gatehouse::credentials
