// BoundAddresses are the addresses that a configuration's listeners have: claimed for this process, with a socket for each worker.
//
// Ownership:  a claim lives as long as a listener has its address; the sockets are the workers'.
// Threading:  immutable.
// Errors:     `listeners["NAME"].address: ` and what is wrong with it. Nothing that was opened stays open then.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/config/snapshot.h"
#include "gateway/loop/listen.h"

namespace gatehouse::server {

class BoundAddresses {
 public:
  // Of one worker, by listener.
  using Sockets = std::map<std::string, loop::ListenSocket>;
  struct Bound {
    std::string configured;
    loop::Address actual;  // port 0 resolved
    std::shared_ptr<loop::AddressClaim> claim;
  };

  // For keeps the addresses of listeners that had the same before, and opens the others, a socket in each of `sockets`.
  absl::StatusOr<BoundAddresses> For(const std::vector<config::Listener>& listeners, std::vector<Sockets>* sockets) const;
  const std::map<std::string, Bound>& by_listener() const { return bound_; }

 private:
  absl::StatusOr<Bound> Open(const config::Listener& listener, std::vector<Sockets>* sockets) const;

  std::map<std::string, Bound> bound_;
};

}  // namespace gatehouse::server
