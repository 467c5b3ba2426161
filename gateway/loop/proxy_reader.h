// ProxyReader takes a PROXY header off the front of a socket, however it is cut, and no octet of what comes behind it.
//
//   kMore --> kDone | kBad | kGone
//
// Ownership:  borrows the descriptor for the call.
// Threading:  one thread.
// Errors:     kBad with error().
#pragma once

#include <optional>
#include <string>

#include "gateway/loop/proxy_header.h"

namespace gatehouse::loop {

class ProxyReader {
 public:
  enum class State : uint8_t {
    kMore,  // call again when the socket is readable
    kDone,
    kBad,
    kGone,  // the other side ended before the header did
  };
  State Read(int fd);
  // kDone: see ProxyHeader::client.
  const std::optional<Address>& client() const { return header_.client; }
  const char* error() const { return header_.error; }

 private:
  std::string held_;
  ProxyHeader header_;
};

}  // namespace gatehouse::loop
