#include "gateway/config/route_pattern.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gateway/base/escape.h"

namespace gatehouse::config {
namespace {

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(text), "\" ", why));
}

bool IsDnsName(absl::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (absl::string_view label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    for (char c : label) {
      if (!absl::ascii_islower(static_cast<unsigned char>(c)) && !absl::ascii_isdigit(static_cast<unsigned char>(c)) &&
          c != '-' && c != '_') {
        return false;
      }
    }
  }
  return true;
}

bool IsBracketedAddress(absl::string_view text) {
  return text.size() > 3 && text.front() == '[' && text.back() == ']' &&
         std::all_of(text.begin() + 1, text.end() - 1, [](unsigned char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f') || c == ':' || c == '.';
         });
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// What keeps a literal segment from ever being equal to a segment of a canonical path; empty when nothing does.
absl::string_view SegmentProblem(absl::string_view segment) {
  if (segment == "." || segment == "..") return "has a dot segment, which no canonical path has";
  for (size_t i = 0; i < segment.size(); ++i) {
    const auto c = static_cast<unsigned char>(segment[i]);
    if (c == '?' || c == '#') return "has a query or fragment; a route matches the path alone";
    if (c == '{' || c == '}') return "has a brace outside of a whole-segment {variable}";
    if (c <= 0x20 || c >= 0x7F || absl::string_view("\"<>[]^`|\\").find(static_cast<char>(c)) != absl::string_view::npos) {
      return "has a character that a canonical path holds percent-encoded";
    }
    if (c != '%') continue;
    if (i + 2 >= segment.size()) return "has a % without two upper-case hexadecimal digits";
    const int high = HexValue(segment[i + 1]), low = HexValue(segment[i + 2]);
    if (high < 0 || low < 0) return "has a % without two upper-case hexadecimal digits";
    const auto decoded = static_cast<unsigned char>(high * 16 + low);
    if (absl::ascii_isalnum(decoded) || absl::string_view("-._~").find(static_cast<char>(decoded)) != absl::string_view::npos) {
      return "percent-encodes a character that a canonical path holds as it is";
    }
    if (decoded < 0x20 || decoded == 0x7F || decoded == '/' || decoded == '\\') {
      return "percent-encodes a character that is refused in every path";
    }
    i += 2;
  }
  return "";
}

bool IsVariableName(absl::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-';
  });
}

}  // namespace

absl::StatusOr<HostPattern> HostPattern::Parse(absl::string_view text) {
  HostPattern pattern;
  absl::string_view name = text;
  if (absl::StartsWith(name, "*.")) {
    pattern.wildcard = true;
    name.remove_prefix(2);
  }
  if (!IsDnsName(name) && (pattern.wildcard || !IsBracketedAddress(name))) {
    if (name != absl::AsciiStrToLower(name)) return Bad(text, "must be lower case");
    if (absl::StrContains(name, ":") && !absl::StrContains(name, "[")) {
      return Bad(text, "must not have a port; an IPv6 address stands in brackets");
    }
    return Bad(text, "is no host name, `*.suffix` or address");
  }
  pattern.text = pattern.wildcard ? absl::StrCat(".", name) : std::string(name);
  return pattern;
}

bool HostPattern::Matches(absl::string_view host) const {
  if (!wildcard) return host == text;
  return host.size() > text.size() && absl::EndsWith(host, text);
}

absl::StatusOr<PathPattern> PathPattern::Parse(absl::string_view text) {
  PathPattern pattern;
  pattern.text = std::string(text);
  if (text.empty()) return absl::InvalidArgumentError("is required");
  if (text.size() > kMaxPathPattern) {
    return absl::InvalidArgumentError(absl::StrCat("is over ", kMaxPathPattern, " bytes"));
  }
  if (text.front() != '/') return Bad(text, "must begin with /");
  if (absl::StrContains(text, "//")) return Bad(text, "has an empty segment, which no canonical path has");
  const std::vector<absl::string_view> parts = absl::StrSplit(text.substr(1), '/');
  if (parts.size() > kMaxSegments) {
    return absl::InvalidArgumentError(absl::StrCat("has over ", kMaxSegments, " segments"));
  }
  std::vector<absl::string_view> variables;
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::string_view part = parts[i];
    if (part.size() < 2 || part.front() != '{' || part.back() != '}') {
      if (absl::string_view problem = SegmentProblem(part); !problem.empty()) return Bad(text, problem);
      pattern.segments.emplace_back(part);
      continue;
    }
    absl::string_view name = part.substr(1, part.size() - 2);
    const bool rest = absl::EndsWith(name, "...");
    if (rest) name.remove_suffix(3);
    if (!IsVariableName(name)) return Bad(text, "has a variable whose name is not of letters, digits, _ and -");
    if (std::find(variables.begin(), variables.end(), name) != variables.end()) {
      return Bad(text, absl::StrCat("has the variable {", name, "} twice"));
    }
    variables.push_back(name);
    if (rest) {
      if (i + 1 != parts.size()) return Bad(text, "has {…...} before its end");
      pattern.kind = PathKind::kPrefix;
      return pattern;
    }
    pattern.kind = PathKind::kTemplate;
    pattern.segments.emplace_back(kVariable);
  }
  return pattern;
}

bool PathPattern::Matches(absl::string_view path) const {
  if (path.empty() || path.front() != '/') return false;
  if (kind == PathKind::kExact) return path == text;
  const std::vector<absl::string_view> parts = absl::StrSplit(path.substr(1), '/');
  if (kind == PathKind::kTemplate ? parts.size() != segments.size() : parts.size() <= segments.size()) return false;
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i] == kVariable ? parts[i].empty() : parts[i] != segments[i]) return false;
  }
  return true;
}

std::string PathPattern::Shape() const {
  return absl::StrCat("/", absl::StrJoin(segments, "/"),
                      kind == PathKind::kPrefix ? segments.empty() ? "{...}" : "/{...}" : "");
}

}  // namespace gatehouse::config
