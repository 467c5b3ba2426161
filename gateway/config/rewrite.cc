#include "gateway/config/rewrite.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/config/redirect.h"

namespace gatehouse::config {

absl::StatusOr<Rewrite> Rewrite::ParsePrefix(absl::string_view prefix, const PathPattern& path) {
  Rewrite rewrite;
  rewrite.prefix_ = std::string(prefix);
  rewrite.has_rest_ = path.kind == PathKind::kPrefix;
  rewrite.segments_ = path.segments.size();
  if (prefix.empty()) return rewrite;
  absl::StatusOr<PathPattern> canonical = PathPattern::Parse(prefix);
  if (!canonical.ok()) return canonical.status();
  if (canonical->kind != PathKind::kExact) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(prefix), "\" has variables; it is put in as it stands"));
  }
  if (rewrite.has_rest_ && !absl::EndsWith(prefix, "/")) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(prefix), "\" must end in /: what {rest...} matched follows it"));
  }
  return rewrite;
}

absl::Status Rewrite::CheckHost(absl::string_view host) {
  const size_t colon = host.rfind(':');
  const bool has_port = colon != absl::string_view::npos && !absl::EndsWith(host, "]");
  absl::StatusOr<HostPattern> name = HostPattern::Parse(has_port ? host.substr(0, colon) : host);
  if (!name.ok()) return name.status();
  if (name->wildcard) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(host), "\" is a pattern; one host is needed"));
  }
  int port = 0;
  if (has_port && (!absl::SimpleAtoi(host.substr(colon + 1), &port) || port < 1 || port > 65535 ||
                   absl::StrCat(port) != host.substr(colon + 1))) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(host), "\" has no port of 1 to 65535"));
  }
  return absl::OkStatus();
}

std::string Rewrite::Path(absl::string_view path) const {
  if (prefix_.empty()) return std::string(path);
  return has_rest_ ? absl::StrCat(prefix_, TailOf(path, segments_).rest) : prefix_;
}

}  // namespace gatehouse::config
