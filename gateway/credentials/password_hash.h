// Password hashes in modular crypt format: argon2id, bcrypt ($2a/$2b/$2y), yescrypt and
// SHA-512-crypt; and Apache's weak $apr1$ and {SHA}, for stores that allow them. What is imported is
// bounded in cost, rounds and memory, so that one stored hash cannot hold a verifier thread for
// minutes.
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

enum class HashKind : uint8_t { kArgon2id, kBcrypt, kYescrypt, kSha512Crypt, kApr1, kSha };

// "argon2id", "bcrypt", "yescrypt", "sha512-crypt", "apr1", "sha".
absl::string_view HashKindName(HashKind kind);
// IsWeak: a graphics card tries these by the million and more a second.
inline bool IsWeak(HashKind kind) { return kind == HashKind::kApr1 || kind == HashKind::kSha; }

// The work that one verification takes. Equal costs take equal time.
struct HashCost {
  HashKind kind = HashKind::kArgon2id;
  // argon2id: passes; bcrypt, yescrypt: log2; SHA-512-crypt, apr1: rounds
  uint32_t cost = 0;
  uint64_t memory_bytes = 0;  // argon2id and yescrypt
  uint32_t lanes = 0;         // argon2id
  friend bool operator==(const HashCost&, const HashCost&) = default;
};

// For people, without the kind: "m=32 MiB, t=3, p=1", "cost 12", "5000 rounds".
std::string CostText(const HashCost& cost);

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

// CheckHashOptions refuses what HashPassword could not make, or ParseHash would not read.
absl::Status CheckHashOptions(HashKind kind, const HashOptions& options);

// HashPassword makes a new hash with a random salt: argon2id or bcrypt, nothing else. Refuses what
// nobody could log in with: an empty password, control characters and bytes that are not UTF-8 (RFC
// 7617 could never send them) and, for bcrypt, more than 72 bytes. What a good password is:
// password_rules.h.
absl::StatusOr<std::string> HashPassword(HashKind kind, absl::string_view password,
                                         const HashOptions& options = {});

// IsWeaker says whether a hash of cost `have` is worth replacing by a new one: of a weaker kind (apr1
// and {SHA}, then SHA-512-crypt, then bcrypt, then yescrypt and argon2id), or of the same kind with
// less memory or work.
bool IsWeaker(const HashCost& have, HashKind kind, const HashOptions& options);

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
