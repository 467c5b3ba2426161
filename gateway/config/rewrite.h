// Rewrite is what a route's upstream is told instead of the path and host that the client sent. Both parts of the new path
// are canonical, so the whole is; routes and admission went by what the client sent.
//
// Threading:  immutable.
// Errors:     Parse: kInvalidArgument with the cause.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/config/route_pattern.h"

namespace gatehouse::config {

class Rewrite {
 public:
  // `prefix` empty: the path stays. `host` empty: the host stays.
  static absl::StatusOr<Rewrite> ParsePrefix(absl::string_view prefix, const PathPattern& path);
  static absl::Status CheckHost(absl::string_view host);

  // `path` is canonical and matches the route's.
  std::string Path(absl::string_view path) const;
  // Empty: the client's.
  const std::string& host() const { return host_; }
  void set_host(std::string host) { host_ = std::move(host); }

 private:
  std::string prefix_;
  bool has_rest_ = false;  // the route's path ends in {rest...}
  size_t segments_ = 0;    // before it
  std::string host_;
};

}  // namespace gatehouse::config
