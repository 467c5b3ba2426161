// Resolver finds the addresses of a name.
//
// Threading:  thread-safe; blocks, so never on a loop.
// Errors:     NOT_FOUND is an answer: the name has no address. Any other error is none.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/loop/address.h"

namespace gatehouse::upstream {

class Resolver {
 public:
  virtual ~Resolver() = default;
  // Never an empty list.
  virtual absl::StatusOr<std::vector<loop::Address>> Resolve(const std::string& host, uint16_t port) = 0;
};

// As every program of this machine finds them: hosts file, DNS, whatever nsswitch.conf says.
class SystemResolver final : public Resolver {
 public:
  absl::StatusOr<std::vector<loop::Address>> Resolve(const std::string& host, uint16_t port) override;
};

}  // namespace gatehouse::upstream
