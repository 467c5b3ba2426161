// HostPattern and PathPattern are the texts of RouteMatch, parsed and checked.
//
// Threading:  values.
// Errors:     kInvalidArgument with the cause and, where there is one, the remedy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gatehouse::config {

// HostPattern is an exact name, or `*.suffix` for names with one or more labels before the suffix.
struct HostPattern {
  bool wildcard = false;
  std::string text;  // exact: the name; wildcard: the suffix with its dot, ".example.com"
  static absl::StatusOr<HostPattern> Parse(absl::string_view text);
  bool Matches(absl::string_view host) const;
  std::string ToString() const { return wildcard ? "*" + text : text; }
  friend bool operator==(const HostPattern&, const HostPattern&) = default;
};

// Ascending order of precedence: an exact path beats a template, a template beats a prefix.
enum class PathKind : uint8_t { kPrefix, kTemplate, kExact };

// PathPattern is `/exact`, `/with/{variable}`, or a prefix `/a/{rest...}`, which matches `/a/` too but not `/a`. A
// variable matches one segment that is not empty.
struct PathPattern {
  PathKind kind = PathKind::kExact;
  std::string text;
  // What lies between slashes; a variable is "{}", a literal never contains braces. Without a prefix's `{rest...}`.
  std::vector<std::string> segments;

  static absl::StatusOr<PathPattern> Parse(absl::string_view text);
  bool Matches(absl::string_view path) const;
  // Equal for patterns that match the same paths.
  std::string Shape() const;
};

inline constexpr absl::string_view kVariable = "{}";
inline constexpr size_t kMaxPathPattern = 4096;
inline constexpr size_t kMaxSegments = 64;

}  // namespace gatehouse::config
