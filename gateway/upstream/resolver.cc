#include "gateway/upstream/resolver.h"

#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace gatehouse::upstream {

absl::StatusOr<std::vector<loop::Address>> SystemResolver::Resolve(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, [](addrinfo* l) {
    if (l != nullptr) freeaddrinfo(l);
  });
  if (error == EAI_NONAME || error == EAI_NODATA) return absl::NotFoundError("no such name");
  if (error == EAI_SYSTEM) return absl::UnavailableError(strerrordesc_np(errno));
  if (error != 0) return absl::UnavailableError(gai_strerror(error));
  std::vector<loop::Address> addresses;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
    addresses.push_back(loop::Address::FromSockaddr(a->ai_addr).WithPort(port));
  }
  if (addresses.empty()) return absl::NotFoundError("the name has no address");
  return addresses;
}

}  // namespace gatehouse::upstream
