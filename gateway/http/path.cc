#include "gateway/http/path.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace gatehouse::http {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsUnreserved(unsigned char c) {
  return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

enum class Kind : uint8_t { kPlain, kEncode, kRefuse };
Kind KindOf(unsigned char c) {
  if (c <= 0x20 || c >= 0x7F) return Kind::kRefuse;
  switch (c) {
    case '\\': case '#': case '?':
      return Kind::kRefuse;
    case '"': case '<': case '>': case '[': case ']': case '^': case '`': case '{': case '|': case '}':
      return Kind::kEncode;
    default:
      return Kind::kPlain;
  }
}

void AppendEncoded(unsigned char c, std::string* out) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  out->push_back('%');
  out->push_back(kHex[c >> 4]);
  out->push_back(kHex[c & 15]);
}

absl::Status Bad(const char* why) { return absl::InvalidArgumentError(why); }

// "..;x" and ".%3Bx" are dot segments to servers that cut path parameters off.
bool IsDotWithParameters(absl::string_view segment) {
  size_t dots = 0;
  while (dots < segment.size() && segment[dots] == '.') ++dots;
  if (dots == 0 || dots > 2) return false;
  absl::string_view rest = segment.substr(dots);
  return absl::StartsWith(rest, ";") || absl::StartsWith(rest, "%3B");
}

}  // namespace

bool IsPlainPath(absl::string_view raw) {
  if (raw.empty() || raw[0] != '/') return false;
  char last = 'x';
  for (char c : raw) {
    if (c == '/' || c == '.') {
      if (last == '/') return false;  // "//" and everything that may be a dot segment: the slow way
    } else if (c == '%' || KindOf(static_cast<unsigned char>(c)) != Kind::kPlain) {
      return false;
    }
    last = c;
  }
  return true;
}

absl::StatusOr<std::string> CanonicalPath(absl::string_view raw) {
  if (IsPlainPath(raw)) return std::string(raw);
  if (raw.empty() || raw[0] != '/') return Bad("the path does not begin with '/'");
  std::string decoded;
  decoded.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    auto c = static_cast<unsigned char>(raw[i]);
    if (c != '%') {
      switch (KindOf(c)) {
        case Kind::kRefuse:
          return Bad("the path holds a character that must be percent-encoded");
        case Kind::kEncode:
          AppendEncoded(c, &decoded);
          continue;
        case Kind::kPlain:
          break;
      }
      if (c == '/' && !decoded.empty() && decoded.back() == '/') continue;  // "//"
      decoded.push_back(static_cast<char>(c));
      continue;
    }
    int high = i + 2 < raw.size() ? HexValue(raw[i + 1]) : -1;
    int low = i + 2 < raw.size() ? HexValue(raw[i + 2]) : -1;
    if (high < 0 || low < 0) return Bad("the path holds '%' without two hex digits");
    auto value = static_cast<unsigned char>(high << 4 | low);
    if (value < 0x20 || value == 0x7F) return Bad("the path holds an encoded control character");
    if (value == '/' || value == '\\') return Bad("the path holds an encoded slash or backslash");
    if (IsUnreserved(value)) {
      decoded.push_back(static_cast<char>(value));
    } else {
      AppendEncoded(value, &decoded);
    }
    i += 2;
  }
  // Segments, the first of which begins after the leading '/'.
  std::string out;
  out.reserve(decoded.size());
  size_t begin = 1;
  while (true) {
    size_t end = decoded.find('/', begin);
    bool last = end == std::string::npos;
    absl::string_view segment = absl::string_view(decoded).substr(begin, last ? absl::string_view::npos : end - begin);
    if (IsDotWithParameters(segment)) return Bad("the path holds a dot segment with parameters");
    if (segment == "..") {
      if (out.empty()) return Bad("the path climbs above the root");
      out.resize(out.rfind('/'));
      if (last) out.push_back('/');
    } else if (segment == ".") {
      if (last) out.push_back('/');
    } else {
      out.push_back('/');
      out.append(segment.data(), segment.size());
    }
    if (last) break;
    begin = end + 1;
  }
  if (out.empty()) out.push_back('/');
  return out;
}

bool IsValidQuery(absl::string_view query) {
  for (char c : query) {
    auto u = static_cast<unsigned char>(c);
    if (u <= 0x20 || u >= 0x7F || u == '#') return false;
  }
  return true;
}

absl::StatusOr<Authority> ParseAuthority(absl::string_view text) {
  if (text.empty()) return Bad("the authority is empty");
  Authority a;
  size_t host_end;
  if (text[0] == '[') {
    host_end = text.find(']');
    if (host_end == absl::string_view::npos || host_end < 3) return Bad("the authority's IPv6 address is not closed");
    for (char c : text.substr(1, host_end - 1)) {
      if (HexValue(c) < 0 && c != ':' && c != '.') return Bad("the authority is not an IPv6 address");
    }
    a.host = text.substr(0, ++host_end);
  } else {
    bool empty_label = text[0] == ':';
    char before = '.';
    for (host_end = 0; host_end < text.size() && text[host_end] != ':'; ++host_end) {
      const char c = text[host_end];
      if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.' && c != '_') {
        return Bad(c == '@' ? "the authority holds userinfo" : "the authority holds a character no host name has");
      }
      empty_label = empty_label || (c == '.' && before == '.');
      before = c;
    }
    if (empty_label) return Bad("the authority's host is empty");
    a.host = text.substr(0, host_end - (before == '.' ? 1 : 0));
  }
  absl::string_view rest = text.substr(host_end);
  if (rest.empty()) return a;
  if (rest[0] != ':') return Bad("the authority goes on behind its host");
  a.port = rest.substr(1);
  if (a.port.size() <= 5) {
    uint32_t n = 0;
    bool digits = !a.port.empty();
    for (char c : a.port) {
      digits = digits && c >= '0' && c <= '9';
      n = n * 10 + static_cast<uint32_t>(c - '0');
    }
    if (digits && n >= 1 && n <= 65535) return a;
  }
  return Bad(absl::StrContains(rest, "@") ? "the authority holds userinfo" : "the authority's port is not a number");
}

}  // namespace gatehouse::http
