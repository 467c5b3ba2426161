#include "gateway/events/event.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"

namespace gatehouse::events {

PeerAddress PeerAddress::FromSockaddr(const void* address, size_t size) {
  PeerAddress peer;
  sa_family_t family = AF_UNSPEC;
  if (size < sizeof(sa_family_t)) return peer;
  std::memcpy(&family, static_cast<const char*>(address) + offsetof(sockaddr, sa_family), sizeof(family));
  if (family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof(in));
    peer.family = Family::kIpv4;
    peer.port = ntohs(in.sin_port);
    std::memcpy(peer.octets.data(), &in.sin_addr, 4);
  } else if (family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in;
    std::memcpy(&in, address, sizeof(in));
    peer.port = ntohs(in.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
      peer.family = Family::kIpv4;
      std::memcpy(peer.octets.data(), in.sin6_addr.s6_addr + 12, 4);
    } else {
      peer.family = Family::kIpv6;
      std::memcpy(peer.octets.data(), &in.sin6_addr, 16);
    }
  } else if (family == AF_UNIX) {
    peer.family = Family::kUnix;
  }
  return peer;
}

void PeerAddress::PrintTo(std::string* out) const {
  char text[INET6_ADDRSTRLEN];
  out->clear();
  switch (family) {
    case Family::kNone:
      return;
    case Family::kUnix:
      out->assign("unix");
      return;
    case Family::kIpv4:  // by hand: this is the common one, and inet_ntop formats with sprintf
      absl::StrAppend(out, octets[0], ".", octets[1], ".", octets[2]);
      absl::StrAppend(out, ".", octets[3], ":", port);
      return;
    case Family::kIpv6:
      inet_ntop(AF_INET6, octets.data(), text, sizeof(text));
      absl::StrAppend(out, "[", text, "]:", port);
      return;
  }
}

std::string PeerAddress::ToString() const {
  std::string text;
  PrintTo(&text);
  return text;
}

void Event::Reset(EventKind new_kind) {
  kind = new_kind;
  outcome = Outcome::kUnspecified;
  reason = Reason::kNone;
  possession = Possession::kNone;
  resumed = false;
  any_self_signed = false;
  http_version = 0;
  status = 0;
  worker = 0;
  time = absl::UnixEpoch();
  duration = absl::ZeroDuration();
  sequence = dropped_before = revision = previous_revision = connection_id = 0;
  connections = streams = 0;
  peer = PeerAddress();
  identity.reset();
  certificate.reset();
  listener.reset();
  server_name.reset();
  route.reset();
  scheme.reset();
  detail.reset();
  request_id.clear();
  method.clear();
  host.clear();
  path.clear();
}

}  // namespace gatehouse::events
