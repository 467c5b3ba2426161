#include "gateway/base/address_range.h"

#include <arpa/inet.h>

#include <cstring>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"

namespace gatehouse {

absl::StatusOr<AddressRange> ParseAddressRange(absl::string_view text) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(text), "\" ", why));
  };
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  AddressRange range;
  if (inet_pton(AF_INET, address.c_str(), range.address.data()) == 1) {
    range.size = 4;
  } else if (inet_pton(AF_INET6, address.c_str(), range.address.data()) == 1) {
    range.size = 16;
  } else {
    return wrong("is not an IP address or CIDR range");
  }
  const int bits = range.size * 8;
  range.prefix = static_cast<uint8_t>(bits);
  if (slash != absl::string_view::npos) {
    const absl::string_view digits = text.substr(slash + 1);
    int prefix = -1;
    if (digits.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(digits[0])) ||
        !absl::SimpleAtoi(digits, &prefix) || prefix < 0 || prefix > bits) {
      return wrong(absl::StrCat("needs a prefix of 0 to ", bits, " bits"));
    }
    range.prefix = static_cast<uint8_t>(prefix);
  }
  for (int bit = range.prefix; bit < bits; ++bit) {
    const uint8_t octet = range.address[static_cast<size_t>(bit / 8)];
    if ((octet >> (7 - bit % 8) & 1) != 0) return wrong("has bits set below its prefix");
  }
  return range;
}

bool Contains(const AddressRange& range, const uint8_t* address, size_t size) {
  if (size != range.size) return false;
  const size_t whole = range.prefix / 8;
  if (std::memcmp(range.address.data(), address, whole) != 0) return false;
  const int rest = range.prefix % 8;
  if (rest == 0) return true;
  return (range.address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

}  // namespace gatehouse
