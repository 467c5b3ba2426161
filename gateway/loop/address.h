// Address is an IP address and port, as text "127.0.0.1:8443" or "[::1]:8443".
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gatehouse::loop {

class Address {
 public:
  Address() = default;
  // Numeric hosts only ("*" is [::], which takes IPv4 too); never asks DNS. kInvalidArgument names what is wrong.
  static absl::StatusOr<Address> Parse(absl::string_view text);
  static Address FromSockaddr(const sockaddr* addr);
  // The local or remote end of a socket.
  static Address LocalOf(int fd);
  static Address PeerOf(int fd);

  const sockaddr* addr() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const;
  int family() const { return storage_.sin6_family; }
  uint16_t port() const;
  Address WithPort(uint16_t port) const;
  // "127.0.0.1", "::1"; a v4-mapped address prints as IPv4.
  std::string host() const;
  // "127.0.0.1:8443", "[::1]:8443".
  std::string ToString() const;
  friend bool operator==(const Address& a, const Address& b) { return a.ToString() == b.ToString(); }

 private:
  sockaddr_in6 storage_{};  // large enough for sockaddr_in
};

}  // namespace gatehouse::loop
