#include "gateway/server/client_origin.h"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/credentials/throttle.h"
#include "gateway/http/path.h"

namespace gatehouse::server {
namespace {

using events::PeerAddress;

// Longer lists than any chain of proxies; what is further left is not looked at.
constexpr size_t kMostEntries = 64;

PeerAddress FromIp(const std::string& text) {
  PeerAddress address;
  if (inet_pton(AF_INET, text.c_str(), address.octets.data()) == 1) {
    address.family = PeerAddress::Family::kIpv4;
  } else if (inet_pton(AF_INET6, text.c_str(), address.octets.data()) == 1) {
    constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    address.family = PeerAddress::Family::kIpv6;
    if (std::equal(kMapped, kMapped + 12, address.octets.begin())) {
      // Else an IPv4 address would pass the ranges that name it.
      std::copy(address.octets.begin() + 12, address.octets.end(), address.octets.begin());
      std::fill(address.octets.begin() + 4, address.octets.end(), uint8_t{0});
      address.family = PeerAddress::Family::kIpv4;
    }
  }
  return address;
}

// An address with or without port; kNone for anything else.
PeerAddress ParseEntry(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() > 64) return {};
  const auto is_port = [](absl::string_view port) {
    int n = 0;
    return !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), absl::ascii_isdigit) &&
           absl::SimpleAtoi(port, &n) && n <= 65535;
  };
  if (absl::StartsWith(text, "[")) {
    const size_t close = text.find(']');
    if (close == absl::string_view::npos) return {};
    const absl::string_view rest = text.substr(close + 1);
    if (!rest.empty() && !(rest[0] == ':' && is_port(rest.substr(1)))) return {};
    PeerAddress address = FromIp(std::string(text.substr(1, close - 1)));
    return text.find(':') < close ? address : PeerAddress();
  }
  if (std::count(text.begin(), text.end(), ':') == 1) {
    const size_t colon = text.find(':');
    if (!is_port(text.substr(colon + 1))) return {};
    text = text.substr(0, colon);
  }
  return FromIp(std::string(text));
}

std::string HostOf(const PeerAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  const int family = address.family == PeerAddress::Family::kIpv6 ? AF_INET6 : AF_INET;
  if (!address.ip().empty()) inet_ntop(family, address.octets.data(), text, sizeof text);
  return text;
}

bool IsTrusted(absl::Span<const AddressRange> trusted, const PeerAddress& address) {
  const absl::Span<const uint8_t> ip = address.ip();
  return !ip.empty() &&
         std::any_of(trusted.begin(), trusted.end(), [&](const AddressRange& r) { return Contains(r, ip.data(), ip.size()); });
}

// One element of a chain of proxies: for whom it spoke, and what was asked of it.
struct Element {
  PeerAddress from;
  std::string scheme, authority;
};

std::string SchemeIn(absl::string_view text) {
  std::string scheme = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  return scheme == "https" || scheme == "http" ? scheme : "";
}

std::string AuthorityIn(absl::string_view text) {
  std::string authority = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  return authority.size() <= 512 && http::ParseAuthority(authority).ok() ? authority : "";
}

// All of a list field, in order.
std::string Joined(const http::FieldList& fields, absl::string_view name) {
  std::string all;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name == name) absl::StrAppend(&all, all.empty() ? "" : ",", fields[i].value);
  }
  return all;
}

// What stands behind the last comma.
absl::string_view LastOf(absl::string_view list) {
  const size_t comma = list.rfind(',');
  return comma == absl::string_view::npos ? list : list.substr(comma + 1);
}

std::vector<Element> ReadXForwarded(const http::FieldList& fields) {
  // Proxies write these for the request as they got it; of a list of them the last was written by the one in front of us.
  const std::string schemes = Joined(fields, "x-forwarded-proto"), hosts = Joined(fields, "x-forwarded-host");
  const std::string scheme = SchemeIn(LastOf(schemes)), authority = AuthorityIn(LastOf(hosts));
  // From the right, as it is looked at: a client in front of a proxy may have written thousands.
  const std::string all = Joined(fields, "x-forwarded-for");
  std::vector<Element> elements;
  for (absl::string_view rest = all; elements.size() < kMostEntries;) {
    const absl::string_view entry = LastOf(rest);
    elements.push_back({ParseEntry(entry), scheme, authority});
    if (entry.size() == rest.size()) break;
    rest.remove_suffix(entry.size() + 1);
  }
  std::reverse(elements.begin(), elements.end());
  return elements;
}

// `text` up to the next of `ends` outside of quotes; nullopt when a quote is not closed.
std::optional<absl::string_view> Take(absl::string_view* text, char end) {
  bool quoted = false;
  size_t i = 0;
  for (; i < text->size(); ++i) {
    if (quoted && (*text)[i] == '\\') {
      ++i;
    } else if ((*text)[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && (*text)[i] == end) {
      break;
    }
  }
  if (quoted) return std::nullopt;
  const absl::string_view taken = text->substr(0, i);
  text->remove_prefix(std::min(i + 1, text->size()));
  return absl::StripAsciiWhitespace(taken);
}

std::string Unquoted(absl::string_view value) {
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return std::string(value);
  std::string out;
  for (size_t i = 1; i + 1 < value.size(); ++i) {
    if (value[i] == '\\' && i + 2 < value.size()) ++i;
    out.push_back(value[i]);
  }
  return out;
}

// RFC 7239 section 4. An element that is malformed names nobody; a quote that is not closed makes all of it worthless.
std::vector<Element> ReadForwarded(const http::FieldList& fields) {
  std::vector<Element> elements;
  const std::string all = Joined(fields, "forwarded");
  absl::string_view rest = all;
  while (!rest.empty()) {
    std::optional<absl::string_view> text = Take(&rest, ',');
    if (!text) return {Element()};
    Element& element = elements.emplace_back();
    bool has_for = false;
    for (absl::string_view pairs = *text; !pairs.empty();) {
      const std::optional<absl::string_view> pair = Take(&pairs, ';');
      const size_t equals = pair->find('=');
      if (equals == absl::string_view::npos) {
        element = Element();
        break;
      }
      const std::string name = absl::AsciiStrToLower(pair->substr(0, equals)), value = Unquoted(pair->substr(equals + 1));
      if (name == "for") {
        element.from = std::exchange(has_for, true) ? PeerAddress() : ParseEntry(value);
      } else if (name == "proto") {
        element.scheme = SchemeIn(value);
      } else if (name == "host") {
        element.authority = AuthorityIn(value);
      }
    }
  }
  return elements;
}

ClientOrigin Resolve(const std::vector<Element>& elements, absl::Span<const AddressRange> trusted, const PeerAddress& peer) {
  ClientOrigin origin;
  origin.client = peer;
  size_t looked_at = 0;
  for (auto it = elements.rbegin(); it != elements.rend() && looked_at < kMostEntries; ++it, ++looked_at) {
    if (it->from.family == PeerAddress::Family::kNone) break;
    if (looked_at != 0) origin.hops.push_back(HostOf(origin.client));
    origin.client = it->from;
    origin.scheme = it->scheme;
    origin.authority = it->authority;
    if (!IsTrusted(trusted, it->from)) break;
  }
  std::reverse(origin.hops.begin(), origin.hops.end());
  origin.host = HostOf(origin.client);
  origin.key = credentials::AddressKey(origin.host);
  return origin;
}

// RFC 7239 section 6: IPv6 in brackets and quotes.
std::string NodeOf(absl::string_view host) {
  return absl::StrContains(host, ':') ? absl::StrCat("\"[", host, "]\"") : std::string(host);
}

}  // namespace

bool IsTrustedProxy(absl::Span<const AddressRange> trusted, const PeerAddress& peer) { return IsTrusted(trusted, peer); }

absl::StatusOr<ClientOrigin> ReadOrigin(const http::FieldList& fields, absl::Span<const AddressRange> trusted,
                                        const PeerAddress& peer) {
  const bool has_x = fields.Has("x-forwarded-for"), has_forwarded = fields.Has("forwarded");
  if (!has_x && !has_forwarded) return Resolve({}, trusted, peer);
  if (!has_x) return Resolve(ReadForwarded(fields), trusted, peer);
  ClientOrigin origin = Resolve(ReadXForwarded(fields), trusted, peer);
  if (has_forwarded && Resolve(ReadForwarded(fields), trusted, peer).host != origin.host) {
    return absl::InvalidArgumentError("Forwarded and X-Forwarded-For name different clients");
  }
  return origin;
}

bool IsForwardedField(absl::string_view name, bool trusted) {
  if (name == "forwarded" || name == "x-real-ip") return true;
  absl::string_view kind = name;
  if (!absl::ConsumePrefix(&kind, "x-forwarded-")) return false;
  return !trusted || kind == "for" || kind == "proto" || kind == "host" || kind == "port";
}

void AddForwarded(config::Forwarded kind, const ClientOrigin* origin, absl::string_view peer, absl::string_view authority,
                  http::FieldList* out) {
  if (kind == config::Forwarded::kNone) return;
  const absl::string_view client = origin == nullptr ? peer : absl::string_view(origin->host);
  const bool passed_on = client != peer;
  const absl::string_view scheme = origin == nullptr || origin->scheme.empty() ? "https" : absl::string_view(origin->scheme);
  const absl::string_view host = origin == nullptr || origin->authority.empty() ? authority : absl::string_view(origin->authority);
  if (kind != config::Forwarded::kForwarded) {
    if (passed_on) {
      std::string list = std::string(client);
      for (const std::string& hop : origin->hops) absl::StrAppend(&list, ", ", hop);
      out->Add("x-forwarded-for", absl::StrCat(list, ", ", peer));
    } else {
      out->Add("x-forwarded-for", peer);
    }
    out->Add("x-forwarded-proto", scheme);
    out->Add("x-forwarded-host", host);
  }
  if (kind != config::Forwarded::kXForwarded) {
    // `host` is an authority: its colon and brackets want quotes.
    std::string list = absl::StrCat("for=", NodeOf(client), ";host=\"", host, "\";proto=", scheme);
    if (passed_on) {
      for (const std::string& hop : origin->hops) absl::StrAppend(&list, ", for=", NodeOf(hop));
      absl::StrAppend(&list, ", for=", NodeOf(peer));
    }
    out->Add("forwarded", list);
  }
}

}  // namespace gatehouse::server
