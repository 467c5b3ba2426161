// ParseBasic and ParseHash on arbitrary bytes: what they accept obeys their contracts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/credentials/basic.h"
#include "gateway/credentials/password_hash.h"

namespace {

using gatehouse::credentials::BasicCredentials;
using gatehouse::credentials::BasicResult;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckBasic(absl::string_view value) {
  const BasicResult result = gatehouse::credentials::ParseBasic(value);
  const auto* credentials = std::get_if<BasicCredentials>(&result);
  if (credentials == nullptr) return;
  const absl::string_view password = credentials->password.Reveal();
  const std::string pair = absl::StrCat(credentials->user, ":", password);
  Require(!credentials->user.empty());
  Require(credentials->user.find(':') == std::string::npos);
  Require(gatehouse::IsValidUtf8(pair));
  Require(std::none_of(pair.begin(), pair.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
  // One pair has one encoding: nothing else in the field was accepted along with it.
  const absl::string_view token = value.substr(value.rfind(' ') + 1);
  Require(absl::Base64Escape(pair) == token);
}

void CheckHash(absl::string_view mcf) {
  const auto cost = gatehouse::credentials::ParseHash(mcf);
  if (!cost.ok()) return;
  Require(mcf.size() <= 256);
  Require(cost->memory_bytes <= gatehouse::credentials::kMaxHashMemory);
  Require(cost->cost >= 1 && cost->cost <= gatehouse::credentials::kMaxSha512Rounds);
  // The costly ones only by their syntax.
  if (cost->memory_bytes > (1 << 20) || cost->cost > (mcf[1] == '2' ? 4u : 1000u)) return;
  gatehouse::credentials::VerifyPassword(mcf, "x");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckBasic(input);
  CheckBasic(absl::StrCat("Basic ", input));
  CheckBasic(absl::StrCat("Basic ", absl::Base64Escape(input)));
  CheckHash(input);
  return 0;
}
