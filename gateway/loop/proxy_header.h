// ReadProxyHeader takes the PROXY protocol's header, by which a load balancer tells whose connection it passes on, off the
// front of a connection: version 1 (a line of text) and version 2 (binary), as haproxy's proxy-protocol.txt has them, strictly.
// Sans-I/O: bytes in, a verdict out.
//
//   version 1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n          107 octets at most
//   version 2   12 octets of signature, version and command, family, length; addresses; TLVs, which are read over
//
// Ownership:  values.
// Threading:  pure.
// Errors:     kBad with a constant text. What is no such header is kBad: where one is demanded, nothing else may come.
#pragma once

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"
#include "gateway/loop/address.h"

namespace gatehouse::loop {

struct ProxyHeader {
  enum class Kind : uint8_t {
    kIncomplete,  // all of `bytes` belongs to the header, and more of it must come
    kComplete,
    kBad,
  };
  Kind kind = Kind::kIncomplete;
  size_t length = 0;  // kComplete: octets of the header; what follows is the connection's own
  // The client. Absent: the load balancer speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC).
  std::optional<Address> client;
  const char* error = "";
};

// A version 2 header with its TLVs is at most this long.
inline constexpr size_t kMaxProxyHeader = 4096;

ProxyHeader ReadProxyHeader(absl::string_view bytes);

}  // namespace gatehouse::loop
