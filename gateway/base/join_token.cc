#include "gateway/base/join_token.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace gatehouse {
namespace {

bool IsHex(absl::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

std::string JoinToken::ToString() const { return absl::StrCat("gh1.", id, ".", secret, ".", HexLower(AsView(anchor))); }

absl::StatusOr<JoinToken> JoinToken::Parse(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  if (parts.size() != 4 || parts[0] != "gh1" || !IsHex(parts[1], 12) || !IsHex(parts[2], 64) || !IsHex(parts[3], 64)) {
    return absl::InvalidArgumentError("is not a join token as `gatehousectl gateway token create` prints it");
  }
  JoinToken token;
  token.id = std::string(parts[1]);
  token.secret = std::string(parts[2]);
  const std::string anchor = absl::HexStringToBytes(parts[3]);
  std::copy(anchor.begin(), anchor.end(), token.anchor.begin());
  return token;
}

}  // namespace gatehouse
