#include "gateway/loop/proxy_header.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace gatehouse::loop {
namespace {

using Kind = ProxyHeader::Kind;

constexpr absl::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr absl::string_view kWord = "PROXY ";
constexpr size_t kMaxLine = 107;  // with CRLF
constexpr size_t kFixed = 16;     // of version 2, before the addresses
constexpr uint8_t kLocal = 0x20;
constexpr uint8_t kProxy = 0x21;

ProxyHeader Bad(const char* error) {
  ProxyHeader header;
  header.kind = Kind::kBad;
  header.error = error;
  return header;
}

ProxyHeader Complete(size_t length, std::optional<Address> client = std::nullopt) {
  ProxyHeader header;
  header.kind = Kind::kComplete;
  header.length = length;
  header.client = client;
  return header;
}

Address Make(int family, const void* ip, uint16_t port_in_network_order) {
  sockaddr_in6 v6{};
  if (family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = port_in_network_order;
    std::memcpy(&v4.sin_addr, ip, 4);
    return Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&v4));
  }
  v6.sin6_family = AF_INET6;
  v6.sin6_port = port_in_network_order;
  std::memcpy(&v6.sin6_addr, ip, 16);
  return Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&v6));
}

std::optional<uint16_t> ParsePort(absl::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  uint32_t n = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    n = n * 10 + static_cast<uint32_t>(c - '0');
  }
  if (n > 65535) return std::nullopt;
  return static_cast<uint16_t>(n);
}

ProxyHeader ReadLine(absl::string_view bytes) {
  const size_t end = bytes.substr(0, kMaxLine).find("\r\n");
  if (end == absl::string_view::npos) {
    return bytes.size() >= kMaxLine ? Bad("the PROXY line is too long") : ProxyHeader{};
  }
  const size_t length = end + 2;
  const absl::string_view line = bytes.substr(kWord.size(), end - kWord.size());
  // What stands behind UNKNOWN is not to be looked at.
  if (line == "UNKNOWN" || absl::StartsWith(line, "UNKNOWN ")) return Complete(length);
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  const int family = words[0] == "TCP4" ? AF_INET : words[0] == "TCP6" ? AF_INET6 : AF_UNSPEC;
  if (family == AF_UNSPEC) return Bad("the PROXY line names no protocol that is known");
  if (words.size() != 5) return Bad("the PROXY line has not five words");
  // A NUL would end an address early.
  if (line.find('\0') != absl::string_view::npos) return Bad("an address of the PROXY line is malformed");
  in6_addr source, destination;
  const std::optional<uint16_t> from = ParsePort(words[3]);
  const std::optional<uint16_t> to = ParsePort(words[4]);
  if (inet_pton(family, std::string(words[1]).c_str(), &source) != 1 ||
      inet_pton(family, std::string(words[2]).c_str(), &destination) != 1) {
    return Bad("an address of the PROXY line is malformed");
  }
  if (!from || !to) return Bad("a port of the PROXY line is malformed");
  return Complete(length, Make(family, &source, htons(*from)));
}

ProxyHeader ReadBinary(absl::string_view bytes) {
  if (bytes.size() < kFixed) return {};
  const auto octet = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t command = octet(12);
  const uint8_t family = octet(13);
  const size_t length = kFixed + (size_t{octet(14)} << 8 | octet(15));
  if (command != kLocal && command != kProxy) return Bad("the PROXY header's version or command is not known");
  if (length > kMaxProxyHeader) return Bad("the PROXY header is too long");
  if (command == kProxy && family != 0x00 && family != 0x11 && family != 0x21) {
    return Bad("the PROXY header is of no TCP connection");
  }
  const size_t ip = family == 0x11 ? 4 : 16;
  if (command == kProxy && family != 0x00 && length < kFixed + 2 * ip + 4) {
    return Bad("the PROXY header is too short for its addresses");
  }
  if (bytes.size() < length) return {};
  if (command == kLocal || family == 0x00) return Complete(length);
  uint16_t port;
  std::memcpy(&port, bytes.data() + kFixed + 2 * ip, sizeof port);
  return Complete(length, Make(ip == 4 ? AF_INET : AF_INET6, bytes.data() + kFixed, port));
}

bool Begins(absl::string_view bytes, absl::string_view with) {
  const size_t n = std::min(bytes.size(), with.size());
  return bytes.substr(0, n) == with.substr(0, n);
}

}  // namespace

ProxyHeader ReadProxyHeader(absl::string_view bytes) {
  if (Begins(bytes, kSignature)) return ReadBinary(bytes);
  if (!Begins(bytes, kWord)) return Bad("no PROXY header, which this listener demands from here");
  return bytes.size() < kWord.size() ? ProxyHeader{} : ReadLine(bytes);
}

}  // namespace gatehouse::loop
