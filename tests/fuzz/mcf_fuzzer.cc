// ParseHash on arbitrary bytes: what it accepts is within its bounds, and the libraries take it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "gateway/credentials/password_hash.h"

namespace {

namespace credentials = gatehouse::credentials;

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view mcf(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<credentials::HashCost> cost = credentials::ParseHash(mcf);
  if (!cost.ok()) {
    Require(!credentials::VerifyPassword(mcf, "x"));
    return 0;
  }
  Require(mcf.size() <= 256);
  Require(cost->memory_bytes <= credentials::kMaxHashMemory);
  Require(cost->kind == credentials::HashKind::kSha ? cost->cost == 0 : cost->cost >= 1);
  Require(cost->cost <= credentials::kMaxSha512Rounds);
  Require(!credentials::CostText(*cost).empty());
  Require(!credentials::HashKindName(cost->kind).empty());
  Require(!credentials::IsWeaker(*cost, credentials::HashKind::kArgon2id, {}) ||
          credentials::IsWeaker(*cost, credentials::HashKind::kArgon2id, {.argon2_passes = 16}));
  // The costly ones only by their syntax.
  const uint32_t most = cost->kind == credentials::HashKind::kBcrypt ? 4 : 1000;
  if (cost->memory_bytes > (1 << 20) || cost->cost > most) return 0;
  credentials::VerifyPassword(mcf, "x");
  return 0;
}
