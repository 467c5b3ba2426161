// ParseBasic on arbitrary bytes: what it accepts obeys its contract.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/credentials/basic.h"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckBasic(input);
  CheckBasic(absl::StrCat("Basic ", input));
  CheckBasic(absl::StrCat("Basic ", absl::Base64Escape(input)));
  return 0;
}
