// RouteTable finds the route of a request: the most specific host that has a route for the path (exact, then the
// longest wildcard, then any), there the most specific path (exact, then template, then prefix; longest first), there
// the method. A method miss stays a miss: it never becomes a less specific path or host.
//
// Ownership:  a handle on immutable data: copies share it, so that snapshots with equal routes share one table.
// Threading:  immutable.
// Units:      Match takes well under a microsecond among 100,000 routes and allocates nothing.
// Errors:     none; conflicts were found when the table was built.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "gateway/config/route.h"

namespace gatehouse::config {

struct Listener;

struct RouteMatch {
  const Route* route = nullptr;  // null: no route for this host and path, or method_miss
  bool method_miss = false;
  absl::string_view allow;  // with method_miss: value of Allow; lives as long as the table
};

// RouteConflict is a pair of routes that share a host, path, method and listener.
struct RouteConflict {
  uint32_t first = 0;
  uint32_t second = 0;
  std::string host;  // "" for any
  std::string method;
};

class RouteTable {
 public:
  RouteTable();
  // Build takes routes in order of their index. When there are conflicts it appends them and the first route wins.
  static RouteTable Build(std::vector<Route> routes, uint32_t listener_count,
                          std::vector<RouteConflict>* conflicts);

  // `host` is lower-case without port, `path` canonical without query, `method` as sent.
  // `listener` is its index.
  RouteMatch Match(uint32_t listener, absl::string_view host, absl::string_view path, absl::string_view method) const;

  const std::vector<Route>& list() const;
  const Route* Find(absl::string_view name) const;
  bool SharesWith(const RouteTable& other) const { return data_ == other.data_; }

 private:
  struct Data;
  std::shared_ptr<const Data> data_;
};

}  // namespace gatehouse::config
