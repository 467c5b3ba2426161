#include "gateway/fetch/address_rules.h"

#include <netinet/in.h>

#include <cstring>
#include <utility>

namespace gatehouse::fetch {
namespace {

const std::vector<AddressRange>& BuiltIn() {
  static const std::vector<AddressRange>* const ranges = [] {
    auto* out = new std::vector<AddressRange>();
    for (const char* text : {
             "0.0.0.0/8",           // this host, this network: RFC 1122 section 3.2.1.3
             "127.0.0.0/8",         // loopback
             "169.254.0.0/16",      // link-local; metadata of most clouds
             "100.100.100.200/32",  // metadata elsewhere
             "168.63.129.16/32",    //
             "192.0.0.0/24",        // IETF protocol assignments, metadata of one more cloud: RFC 6890
             "224.0.0.0/4",         // multicast
             "240.0.0.0/4",         // reserved, broadcast
             "::/128",              // unspecified
             "::1/128",             // loopback
             "fe80::/10",           // link-local
             "fec0::/10",           // site-local, deprecated
             "ff00::/8",            // multicast
             "fd00:ec2::254/128",   // metadata by IPv6
             "fd20:ce::254/128",    //
             "64:ff9b:1::/48",      // translation with local meaning, RFC 8215: what is behind it cannot be told
             "2001::/32",           // Teredo: carries an IPv4 address in disguise
         }) {
      out->push_back(*ParseAddressRange(text));
    }
    return out;
  }();
  return *ranges;
}

// Length of the longest prefix that matches; -1: none does.
int Longest(const std::vector<AddressRange>& ranges, absl::Span<const uint8_t> address) {
  int longest = -1;
  for (const AddressRange& range : ranges) {
    if (range.prefix > longest && Contains(range, address.data(), address.size())) longest = range.prefix;
  }
  return longest;
}

// Where in an IPv6 address an IPv4 address stands; -1: nowhere.
int EmbeddedAt(absl::Span<const uint8_t> address) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  static constexpr uint8_t kTranslated[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0};  // RFC 2765
  static constexpr uint8_t kNat64[12] = {0, 0x64, 0xff, 0x9b};
  static constexpr uint8_t kCompatible[12] = {};
  static constexpr uint8_t k6to4[2] = {0x20, 0x02};
  if (std::memcmp(address.data(), kMapped, 12) == 0 || std::memcmp(address.data(), kNat64, 12) == 0 ||
      std::memcmp(address.data(), kTranslated, 12) == 0 || std::memcmp(address.data(), kCompatible, 12) == 0) {
    return 12;
  }
  return std::memcmp(address.data(), k6to4, 2) == 0 ? 2 : -1;
}

}  // namespace

AddressRules::AddressRules(std::vector<AddressRange> allowed, std::vector<AddressRange> denied)
    : allowed_(std::move(allowed)), denied_(std::move(denied)) {}

bool AddressRules::Permits(const sockaddr* address) const {
  if (address->sa_family == AF_INET) {
    const in_addr& v4 = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    return Permits(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&v4), 4));
  }
  if (address->sa_family == AF_INET6) {
    return Permits(absl::MakeConstSpan(reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr.s6_addr, 16));
  }
  return false;
}

bool AddressRules::Permits(absl::Span<const uint8_t> address) const {
  if (address.size() == 4) return PermitsExactly(address);
  if (address.size() != 16) return false;
  const int at = EmbeddedAt(address);
  // ::1 is loopback and no compatible address; where ranges allow it, 0.0.0.1 need not be allowed as well.
  const bool loopback = IN6_IS_ADDR_LOOPBACK(reinterpret_cast<const in6_addr*>(address.data()));
  if (at >= 0 && !loopback && !PermitsExactly(address.subspan(static_cast<size_t>(at), 4))) return false;
  return PermitsExactly(address);
}

bool AddressRules::PermitsExactly(absl::Span<const uint8_t> address) const {
  const int denied = Longest(denied_, address);
  const int allowed = Longest(allowed_, address);
  const int built_in = Longest(BuiltIn(), address);
  if (denied >= 0 && denied >= allowed && denied >= built_in) return false;
  if (allowed >= 0 && allowed >= built_in) return true;
  return built_in < 0;
}

}  // namespace gatehouse::fetch
