// AddressRules say which addresses a fetch may connect to. They are asked about the address of the socket itself, not
// about a name, so a name that resolves to something else a moment later gains nothing.
//
// The longest prefix that matches decides; of equal ones a denied range goes before an allowed one, and both before the
// built-in ones. Built in and denied: this host and network, loopback, link-local (with the metadata services of clouds,
// also where those lie elsewhere), multicast, reserved and unspecified addresses. Private ranges are allowed. An IPv6
// address that carries an IPv4 one (mapped, translated, compatible, NAT64, 6to4) is judged by both.
//
// Ownership:  immutable, shared as AddressRulesRef.
// Threading:  immutable; any thread.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "gateway/base/address_range.h"

namespace gatehouse::fetch {

class AddressRules {
 public:
  AddressRules() : AddressRules({}, {}) {}
  AddressRules(std::vector<AddressRange> allowed, std::vector<AddressRange> denied);

  // False for every family but IPv4 and IPv6.
  bool Permits(const sockaddr* address) const;
  // 4 or 16 octets in network order.
  bool Permits(absl::Span<const uint8_t> address) const;

 private:
  bool PermitsExactly(absl::Span<const uint8_t> address) const;

  const std::vector<AddressRange> allowed_, denied_;
};
using AddressRulesRef = std::shared_ptr<const AddressRules>;

}  // namespace gatehouse::fetch
