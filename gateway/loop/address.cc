#include "gateway/loop/address.h"

#include <arpa/inet.h>

#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace gatehouse::loop {
namespace {

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("address \"", text, "\": ", why));
}
sockaddr_in* V4(sockaddr_in6* s) { return reinterpret_cast<sockaddr_in*>(s); }
const sockaddr_in* V4(const sockaddr_in6* s) { return reinterpret_cast<const sockaddr_in*>(s); }

}  // namespace

absl::StatusOr<Address> Address::Parse(absl::string_view text) {
  size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Bad(text, "no port (want HOST:PORT)");
  absl::string_view host = text.substr(0, colon);
  absl::string_view digits = text.substr(colon + 1);
  uint32_t port = 0;
  if (digits.empty() || digits.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(digits, &port) || port > 65535) {
    return Bad(text, "the port is not a number from 0 to 65535");
  }
  Address a;
  if (host == "*") host = "[::]";
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]")) return Bad(text, "'[' without ']'");
    a.storage_.sin6_family = AF_INET6;
    if (inet_pton(AF_INET6, std::string(host).c_str(), &a.storage_.sin6_addr) != 1) {
      return Bad(text, "not an IPv6 address");
    }
    a.storage_.sin6_port = htons(static_cast<uint16_t>(port));
    return a;
  }
  if (host.find(':') != absl::string_view::npos) return Bad(text, "an IPv6 address goes in brackets");
  V4(&a.storage_)->sin_family = AF_INET;
  if (inet_pton(AF_INET, std::string(host).c_str(), &V4(&a.storage_)->sin_addr) != 1) {
    return Bad(text, "not a numeric IPv4 address");
  }
  V4(&a.storage_)->sin_port = htons(static_cast<uint16_t>(port));
  return a;
}

Address Address::FromSockaddr(const sockaddr* addr) {
  Address a;
  if (addr->sa_family == AF_INET) std::memcpy(&a.storage_, addr, sizeof(sockaddr_in));
  if (addr->sa_family == AF_INET6) std::memcpy(&a.storage_, addr, sizeof(sockaddr_in6));
  return a;
}

Address Address::LocalOf(int fd) {
  Address a;
  socklen_t length = sizeof a.storage_;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&a.storage_), &length) != 0) return Address();
  return a;
}

Address Address::PeerOf(int fd) {
  Address a;
  socklen_t length = sizeof a.storage_;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&a.storage_), &length) != 0) return Address();
  return a;
}

socklen_t Address::length() const {
  return family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

uint16_t Address::port() const { return ntohs(storage_.sin6_port); }  // sin_port lies at the same place

Address Address::WithPort(uint16_t port) const {
  Address a = *this;
  a.storage_.sin6_port = htons(port);
  return a;
}

std::string Address::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    // inet_ntop takes ten times as long, and this is asked for every proxied request.
    const auto* octet = reinterpret_cast<const uint8_t*>(&V4(&storage_)->sin_addr);
    return absl::StrCat(octet[0], ".", octet[1], ".", octet[2], ".", octet[3]);
  }
   if (family() == AF_INET6) {
    if (IN6_IS_ADDR_V4MAPPED(&storage_.sin6_addr)) {
      inet_ntop(AF_INET, storage_.sin6_addr.s6_addr + 12, text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &storage_.sin6_addr, text, sizeof text);
    }
  }
  return text;
}

std::string Address::ToString() const {
  std::string h = host();
  if (h.find(':') != std::string::npos) return absl::StrCat("[", h, "]:", port());
  return absl::StrCat(h, ":", port());
}

}  // namespace gatehouse::loop
