// SHA-256, SHA-1 (names only, never security), HMAC and random bytes. The EVP_MD is fetched once: a fetch per call
// costs more than hashing a certificate.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256(absl::string_view bytes);
std::array<uint8_t, 20> Sha1(absl::string_view bytes);
Sha256Digest HmacSha256(absl::string_view key, absl::string_view bytes);
// CHECK-fails when the system has no entropy.
std::string RandomBytes(size_t n);

inline absl::string_view AsView(const Sha256Digest& d) {
  return absl::string_view(reinterpret_cast<const char*>(d.data()), d.size());
}
// The first eight octets as an integer: content version numbers ("epochs").
inline uint64_t Epoch(const Sha256Digest& d) {
  uint64_t v = 0;
  for (int i = 0; i < 8; ++i) v = v << 8 | d[static_cast<size_t>(i)];
  return v;
}
// A digest is already uniform: its first octets are its hash.
struct DigestHash {
  size_t operator()(const Sha256Digest& d) const { return static_cast<size_t>(Epoch(d)); }
};
// Upper- and lower-case hex, no separators.
std::string HexUpper(absl::string_view bytes);
std::string HexLower(absl::string_view bytes);

}  // namespace gatehouse
