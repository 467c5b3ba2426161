#include "gateway/config/redirect.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"

namespace gatehouse::config {
namespace {

bool IsHex(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }

bool IsUnreserved(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~';
}

// A piece of a canonical path as it may stand in any part of a URL: what is percent-encoded stays so.
void AppendEncoded(absl::string_view text, bool slashes, std::string* out) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool triplet = c == '%' && i + 2 < text.size() && IsHex(text[i + 1]) && IsHex(text[i + 2]);
    if (IsUnreserved(c) || triplet || (c == '/' && slashes && i != 0)) {
      out->push_back(c);
    } else {
      absl::StrAppend(out, "%", HexUpper(text.substr(i, 1)));
    }
  }
}

// Visible ASCII that a URL may hold as it is (RFC 3986 section 2), and whole triplets.
absl::string_view TextProblem(absl::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c <= ' ' || c >= 0x7F || absl::string_view("\"<>\\^`|").find(c) != absl::string_view::npos) {
      return "has a character that a URL holds percent-encoded";
    }
    if (c == '%' && !(i + 2 < text.size() && IsHex(text[i + 1]) && IsHex(text[i + 2]))) {
      return "has a % without two hexadecimal digits";
    }
  }
  return "";
}

// Where the authority ends: 0 for an absolute path. npos: neither that nor an http or https URL.
size_t AuthorityEnd(absl::string_view location) {
  if (absl::StartsWith(location, "/")) {
    // `//host` and, to browsers, `/\host` name another host.
    return absl::StartsWith(location, "//") || absl::StartsWith(location, "/\\") ? absl::string_view::npos : 0;
  }
  for (absl::string_view scheme : {"https://", "http://"}) {
    if (!absl::StartsWith(location, scheme)) continue;
    const size_t end = std::min(location.find_first_of("/?#", scheme.size()), location.size());
    return end > scheme.size() ? end : absl::string_view::npos;
  }
  return absl::string_view::npos;
}

// The names of a pattern's variables, with their segments; `rest` at the end of a prefix.
std::vector<std::string> VariablesOf(const PathPattern& path) {
  std::vector<std::string> names;
  for (absl::string_view segment : absl::StrSplit(absl::string_view(path.text).substr(1), '/')) {
    const bool variable = segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
    names.emplace_back(variable ? segment.substr(1, segment.size() - 2) : absl::string_view());
  }
  if (path.kind == PathKind::kPrefix) names.back() = "rest";
  return names;
}

}  // namespace

PathTail TailOf(absl::string_view path, size_t n) {
  size_t at = 1;
  for (; n != 0; --n) {
    const size_t slash = path.find('/', at);
    if (slash == absl::string_view::npos) return {};
    at = slash + 1;
  }
  if (at > path.size()) return {};
  const absl::string_view rest = path.substr(at);
  return {rest.substr(0, rest.find('/')), rest};
}

absl::StatusOr<Redirect> Redirect::Parse(int status, absl::string_view location, bool keep_query,
                                         const PathPattern& path) {
  if (location.empty()) return absl::InvalidArgumentError("is required");
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(location.substr(0, 200)), "\" ", why));
  };
  if (location.size() > kMaxLocation) return bad(absl::StrCat("is over ", kMaxLocation, " bytes"));
  const size_t authority_end = AuthorityEnd(location);
  if (authority_end == absl::string_view::npos) return bad("is neither an absolute path nor an http or https URL");
  if (location.substr(0, authority_end).find('@') != absl::string_view::npos) return bad("has userinfo");
  if (keep_query && location.find('#') != absl::string_view::npos) return bad("has a fragment, which no query can follow");

  Redirect redirect;
  redirect.status_ = status;
  redirect.keep_query_ = keep_query;
  redirect.has_query_ = location.find('?') != absl::string_view::npos;
  const std::vector<std::string> variables = VariablesOf(path);
  for (size_t at = 0; at < location.size();) {
    const size_t open = std::min(location.find('{', at), location.size());
    if (open > at) {
      const absl::string_view text = location.substr(at, open - at);
      if (text.find('}') != absl::string_view::npos) return bad("has a } without a {");
      if (absl::string_view problem = TextProblem(text); !problem.empty()) return bad(problem);
      redirect.pieces_.push_back({Piece::Kind::kText, std::string(text), 0});
    }
    if (open == location.size()) break;
    const size_t close = location.find('}', open);
    if (close == absl::string_view::npos) return bad("has a { without a }");
    const absl::string_view name = location.substr(open + 1, close - open - 1);
    at = close + 1;
    Piece piece;
    if (name == "host") {
      piece.kind = Piece::Kind::kHost;
    } else {
      const auto found = name.empty() ? variables.end() : std::find(variables.begin(), variables.end(), name);
      if (found == variables.end()) {
        return bad(absl::StrCat("names {", EscapeText(name.substr(0, 64)), "}, which the route's path does not have",
                                name == "rest..." ? "; write {rest}" : ""));
      }
      if (open < authority_end) return bad(absl::StrCat("lets {", name, "} choose the host that callers are sent to"));
      piece.segment = static_cast<size_t>(found - variables.begin());
      const bool rest = path.kind == PathKind::kPrefix && piece.segment + 1 == variables.size();
      piece.kind = rest ? Piece::Kind::kRest : Piece::Kind::kSegment;
    }
    redirect.pieces_.push_back(std::move(piece));
  }
  return redirect;
}

std::string Redirect::Location(absl::string_view host, absl::string_view path, bool has_query,
                               absl::string_view query) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    switch (piece.kind) {
      case Piece::Kind::kText: out += piece.text; break;
      case Piece::Kind::kSegment: AppendEncoded(TailOf(path, piece.segment).segment, false, &out); break;
      case Piece::Kind::kRest: AppendEncoded(TailOf(path, piece.segment).rest, true, &out); break;
      case Piece::Kind::kHost: out.append(host.data(), host.size()); break;  // ParseAuthority let it pass
    }
  }
  // An empty {rest} may leave two slashes at the front, and what follows would be a host.
  if (absl::StartsWith(out, "//")) out.replace(1, 1, "%2F");
  if (keep_query_ && has_query) absl::StrAppend(&out, has_query_ ? "&" : "?", query);
  return out;
}

}  // namespace gatehouse::config
