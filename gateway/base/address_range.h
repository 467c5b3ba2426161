// AddressRange is an IP address or a CIDR range of them.
//
// Threading:  pure.
// Errors:     ParseAddressRange: kInvalidArgument with the cause.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gatehouse {

struct AddressRange {
  std::array<uint8_t, 16> address{};  // network order; the first 4 for IPv4
  uint8_t size = 4;                   // 4 or 16
  uint8_t prefix = 32;                // bits
};

// An address or CIDR range; host bits below the prefix are refused.
absl::StatusOr<AddressRange> ParseAddressRange(absl::string_view text);

// Whether the address of `size` octets (4 or 16) is in the range; families never match each other.
bool Contains(const AddressRange& range, const uint8_t* address, size_t size);

}  // namespace gatehouse
