#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "gateway/credentials/throttle.h"

namespace gatehouse::credentials {

std::string AddressKey(absl::string_view address) {
  // An IPv6 zone says on which link the address is, not who it is.
  std::string text(address.substr(0, address.find('%')));
  in_addr v4;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    return std::string(reinterpret_cast<const char*>(&v4), sizeof(v4));
  }
  in6_addr v6;
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    const char* bytes = reinterpret_cast<const char*>(&v6);
    // Translated (RFC 6052): all of IPv4 would be one network.
    static constexpr unsigned char kTranslated[12] = {0, 0x64, 0xff, 0x9b};
    if (IN6_IS_ADDR_V4MAPPED(&v6) || std::memcmp(bytes, kTranslated, sizeof kTranslated) == 0) return std::string(bytes + 12, 4);
    return std::string(bytes, 8);
  }
  return text;
}

std::string AddressText(absl::string_view address_key) {
  char text[INET6_ADDRSTRLEN];
  if (address_key.size() == 4) {
    inet_ntop(AF_INET, address_key.data(), text, sizeof(text));
    return text;
  }
  if (address_key.size() == 8) {
    in6_addr v6{};
    std::copy(address_key.begin(), address_key.end(), reinterpret_cast<char*>(&v6));
    inet_ntop(AF_INET6, &v6, text, sizeof(text));
    return absl::StrCat(text, "/64");
  }
  return std::string(address_key);
}

}  // namespace gatehouse::credentials
