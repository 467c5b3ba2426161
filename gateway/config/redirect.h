// Redirect says where a route sends its callers: a location with places for what their request said.
//
//   https://{host}/new/{id}?from={rest}      {name}: what the variable of the route's path matched; {host}: the request's
//
// What comes from the request can end no header, leave no place of the location and name no host: everything but unreserved
// characters is percent-encoded (in {rest} the slashes stay, save a first one), and variables other than {host} are
// refused in the authority.
//
// Threading:  immutable.
// Errors:     Parse: kInvalidArgument with the cause.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/config/route_pattern.h"

namespace gatehouse::config {

class Redirect {
 public:
  static constexpr size_t kMaxLocation = 8 * 1024;

  // REQUIRES: `status` is one of 301, 302, 303, 307, 308.
  static absl::StatusOr<Redirect> Parse(int status, absl::string_view location, bool keep_query, const PathPattern& path);

  int status() const { return status_; }
  // `path` is canonical and matches the route's; `host` is without port.
  std::string Location(absl::string_view host, absl::string_view path, bool has_query, absl::string_view query) const;

 private:
  struct Piece {
    enum class Kind : uint8_t { kText, kSegment, kRest, kHost };
    Kind kind = Kind::kText;
    std::string text;    // kText
    size_t segment = 0;  // kSegment: its place in the path; kRest: where it begins
  };

  int status_ = 302;
  bool keep_query_ = false;
  bool has_query_ = false;  // the location does
  std::vector<Piece> pieces_;
};

// The path's segment number `n`, counted from 0, and what follows; empty where there is none.
struct PathTail {
  absl::string_view segment;
  absl::string_view rest;  // from the segment's begin to the path's end
};
PathTail TailOf(absl::string_view path, size_t n);

}  // namespace gatehouse::config
