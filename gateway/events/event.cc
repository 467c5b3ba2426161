#include "gateway/events/event.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

namespace gatehouse::events {
namespace {

char* PrintDecimal(uint32_t value, char* out) {
  char digits[10];
  size_t n = 0;
  do {
    digits[n++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (n > 0) *out++ = digits[--n];
  return out;
}

}  // namespace

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

// A client that a proxy speaks for has no port.
static char* PrintPort(uint16_t port, char* out) {
  if (port == 0) return out;
  *out++ = ':';
  return PrintDecimal(port, out);
}

char* PeerAddress::PrintTo(char* out) const {
  switch (family) {
    case Family::kNone:
      return out;
    case Family::kUnix:
      std::memcpy(out, "unix", 4);
      return out + 4;
    case Family::kIpv4:  // by hand: this is the common one, and inet_ntop formats with sprintf
      for (size_t i = 0; i < 4; ++i) {
        out = PrintDecimal(octets[i], out);
        if (i < 3) *out++ = '.';
      }
      return PrintPort(port, out);
    case Family::kIpv6:
      *out++ = '[';
      inet_ntop(AF_INET6, octets.data(), out, INET6_ADDRSTRLEN);
      out += std::strlen(out);
      *out++ = ']';
      return PrintPort(port, out);
  }
  return out;
}

std::string PeerAddress::ToString() const {
  char text[kMaxText];
  return std::string(text, PrintTo(text));
}

std::shared_ptr<const PeerFacts> FactsOf(CertificateSummary certificate) {
  auto facts = std::make_shared<PeerFacts>();
  facts->certificate = std::make_shared<const CertificateSummary>(std::move(certificate));
  return facts;
}

std::shared_ptr<const Facts> Event::NoFacts() {
  static const Facts none;
  return std::shared_ptr<const Facts>(std::shared_ptr<const Facts>(), &none);
}

Facts& Event::Own() {
  auto own = std::make_shared<Facts>(*facts);
  Facts& to = *own;
  facts = std::move(own);
  return to;
}

absl::string_view Clip(absl::string_view text, size_t most) {
  if (text.size() <= most) return text;
  size_t back = 0;
  while (back < 3 && most > back && (static_cast<unsigned char>(text[most - back]) & 0xC0) == 0x80) ++back;
  if ((static_cast<unsigned char>(text[most - back]) & 0xC0) != 0x80) most -= back;
  return text.substr(0, most);
}

void Event::SetRequest(const RequestText& text) {
  char* at = text_;
  const auto put = [&at](absl::string_view from, size_t most, uint8_t* size) {
    from = Clip(from, most);
    if (!from.empty()) std::memcpy(at, from.data(), from.size());
    at += from.size();
    *size = static_cast<uint8_t>(from.size());
  };
  put(text.request_id, kMostRequestId, &request_id_);
  put(text.method, kMostMethod, &method_);
  put(text.host, kMostHost, &host_);
  put(text.path, kMostPath, &path_);
  path_truncated_ = path_ < text.path.size();
}

RequestText Event::request() const {
  RequestText text;
  const char* at = text_;
  const auto get = [&at](uint8_t size) { return absl::string_view(std::exchange(at, at + size), size); };
  text.request_id = get(request_id_);
  text.method = get(method_);
  text.host = get(host_);
  text.path = get(path_);
  return text;
}

void Event::Reset(EventKind new_kind) {
  kind = new_kind;
  outcome = Outcome::kUnspecified;
  reason = Reason::kNone;
  must_keep = false;
  http_version = 0;
  status = worker = 0;
  sampled = 0;
  time = absl::UnixEpoch();
  duration = absl::ZeroDuration();
  sequence = dropped_before = 0;
  LetGo();
  request_id_ = method_ = host_ = path_ = 0;
  path_truncated_ = false;
}

}  // namespace gatehouse::events
