#include "gateway/server/bound_addresses.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

// Where processes of this user tell each other which addresses are theirs; "" where no such place can be written (a
// container's read-only root), and then only the probe guards. Never a directory that somebody else made.
std::string LockDirectory() {
  for (const char* base : {"/run/lock", "/tmp"}) {
    std::string path = absl::StrCat(base, "/gatehouse-", ::geteuid());
    struct stat info;
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) continue;
    if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
        ::access(path.c_str(), W_OK) == 0) {
      return path;
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<BoundAddresses> BoundAddresses::For(const std::vector<config::Listener>& listeners, std::vector<Sockets>* sockets) const {
  BoundAddresses next;
  for (const config::Listener& listener : listeners) {
    if (auto old = bound_.find(listener.name); old != bound_.end() && old->second.configured == listener.address) {
      next.bound_.insert(*old);
      continue;
    }
    absl::StatusOr<Bound> bound = Open(listener, sockets);
    if (!bound.ok()) {
      for (Sockets& of_worker : *sockets) of_worker.clear();
      return absl::Status(bound.status().code(), absl::StrCat("listeners[\"", listener.name, "\"].address: ", bound.status().message()));
    }
    next.bound_.emplace(listener.name, *std::move(bound));
  }
  return next;
}

absl::StatusOr<BoundAddresses::Bound> BoundAddresses::Open(const config::Listener& listener, std::vector<Sockets>* sockets) const {
  absl::StatusOr<loop::Address> address = loop::Address::Parse(listener.address);
  if (!address.ok()) return address.status();
  Bound out;
  out.configured = listener.address;
  // An address that passes from one listener to another is ours already.
  for (const auto& [name, old] : bound_) {
    if (old.configured == listener.address) out.claim = old.claim;
  }
  if (out.claim == nullptr) {
    absl::StatusOr<loop::AddressClaim> claim = loop::AddressClaim::Take(*address, LockDirectory());
    if (!claim.ok()) return claim.status();
    out.claim = std::make_shared<loop::AddressClaim>(*std::move(claim));
  }
  for (Sockets& of_worker : *sockets) {
    absl::StatusOr<loop::ListenSocket> socket = loop::ListenSocket::Open(*address, loop::ListenOptions());
    if (!socket.ok()) return socket.status();
    *address = out.actual = socket->address();  // port 0 is resolved by the first
    of_worker.emplace(listener.name, *std::move(socket));
  }
  return out;
}

}  // namespace gatehouse::server
