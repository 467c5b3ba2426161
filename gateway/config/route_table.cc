#include "gateway/config/route_table.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/config/snapshot.h"

namespace gatehouse::config {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
// What a route without methods answers.
constexpr absl::string_view kEveryMethod = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

bool IsNeverServed(absl::string_view method) { return method == "CONNECT" || method == "TRACE"; }

using Index = absl::flat_hash_map<std::string, uint32_t>;

// Null: it is not there. Many are empty, and then nothing need be hashed.
const uint32_t* Lookup(const Index& index, absl::string_view key) {
  if (index.empty()) return nullptr;
  const auto it = index.find(key);
  return it == index.end() ? nullptr : &it->second;
}

// Place is one host and path: its routes by method.
struct Place {
  std::vector<std::pair<std::string, uint32_t>> methods;  // few
  uint32_t every = kNone;                                 // the route for every method
  std::string allow;

  uint32_t Find(absl::string_view method) const {
    if (every != kNone) return IsNeverServed(method) ? kNone : every;
    uint32_t get = kNone;
    for (const auto& [name, route] : methods) {
      if (name == method) return route;
      if (name == "GET") get = route;
    }
    return method == "HEAD" ? get : kNone;
  }
};

// Node is a prefix of segments.
struct Node {
  Index literals;             // -> node
  uint32_t variable = kNone;  // -> node
  uint32_t ends = kNone;      // -> place of the template that ends here
  uint32_t prefix = kNone;    // -> place of the prefix that ends here
};

// Found is the best prefix so far: the deepest, and of equally deep ones the first met.
struct Found {
  uint32_t place = kNone;
  size_t depth = 0;
};

// Tree is what the listeners that see the same routes match against.
struct Tree {
  struct Host {
    Index exact;            // path -> place
    uint32_t root = kNone;  // -> node; kNone: no template and no prefix
  };
  std::vector<Place> places;
  std::vector<Node> nodes;
  std::vector<Host> hosts;
  Index exact_hosts;     // -> hosts
  Index wildcard_hosts;  // ".suffix"
  uint32_t any_host = kNone;

  uint32_t NewNode() {
    nodes.emplace_back();
    return static_cast<uint32_t>(nodes.size() - 1);
  }

  Host& HostFor(const HostPattern* pattern) {
    uint32_t* slot = &any_host;
    if (pattern != nullptr) {
      slot = &(pattern->wildcard ? wildcard_hosts : exact_hosts).try_emplace(pattern->text, kNone).first->second;
    }
    if (*slot == kNone) {
      hosts.emplace_back();
      *slot = static_cast<uint32_t>(hosts.size() - 1);
    }
    return hosts[*slot];
  }

  Place& PlaceFor(Host& host, const PathPattern& path) {
    uint32_t* slot = nullptr;
    if (path.kind == PathKind::kExact) {
      slot = &host.exact.try_emplace(path.text, kNone).first->second;
    } else {
      if (host.root == kNone) host.root = NewNode();
      uint32_t at = host.root;
      for (const std::string& segment : path.segments) {
        uint32_t next = kNone;
        if (segment == kVariable) {
          next = nodes[at].variable;
        } else if (auto it = nodes[at].literals.find(segment); it != nodes[at].literals.end()) {
          next = it->second;
        }
        if (next == kNone) {
          next = NewNode();
          if (segment == kVariable) {
            nodes[at].variable = next;
          } else {
            nodes[at].literals.emplace(segment, next);
          }
        }
        at = next;
      }
      slot = path.kind == PathKind::kTemplate ? &nodes[at].ends : &nodes[at].prefix;
    }
    if (*slot == kNone) {
      places.emplace_back();
      *slot = static_cast<uint32_t>(places.size() - 1);
    }
    return places[*slot];
  }

  // The template for `rest`, which is what follows a slash, or kNone; prefixes met on the way go to `found`. Literals
  // are tried before variables, so the first template found is the most specific.
  uint32_t Walk(uint32_t at, absl::string_view rest, bool at_end, size_t depth, Found* found) const {
    const Node& node = nodes[at];
    if (at_end) return node.ends;
    if (node.prefix != kNone && (found->place == kNone || depth > found->depth)) *found = {node.prefix, depth};
    const size_t slash = rest.find('/');
    const absl::string_view segment = rest.substr(0, slash);
    const bool last = slash == absl::string_view::npos;
    const absl::string_view after = last ? absl::string_view() : rest.substr(slash + 1);
    if (const uint32_t* next = Lookup(node.literals, segment)) {
      const uint32_t place = Walk(*next, after, last, depth + 1, found);
      if (place != kNone) return place;
    }
    if (node.variable != kNone && !segment.empty()) return Walk(node.variable, after, last, depth + 1, found);
    return kNone;
  }

  const Place* FindIn(uint32_t index, absl::string_view path) const {
    if (index == kNone) return nullptr;
    const Host& host = hosts[index];
    if (const uint32_t* exact = Lookup(host.exact, path)) return &places[*exact];
    if (host.root == kNone) return nullptr;
    Found found;
    const uint32_t place = Walk(host.root, path.substr(1), false, 0, &found);
    if (place != kNone) return &places[place];
    return found.place == kNone ? nullptr : &places[found.place];
  }

  const Place* Find(absl::string_view host, absl::string_view path) const {
    if (const uint32_t* exact = Lookup(exact_hosts, host)) {
      if (const Place* place = FindIn(*exact, path); place != nullptr) return place;
    }
    if (!wildcard_hosts.empty()) {
      // Longest suffix first; a name before the dot is required.
      for (size_t dot = host.find('.', 1); dot != absl::string_view::npos; dot = host.find('.', dot + 1)) {
        auto it = wildcard_hosts.find(host.substr(dot));
        if (it == wildcard_hosts.end()) continue;
        if (const Place* place = FindIn(it->second, path); place != nullptr) return place;
      }
    }
    return FindIn(any_host, path);
  }
};

// Adds `route` for `method` ("" = every); the route that is in its way, if there is one, is returned.
std::optional<uint32_t> Claim(Place* place, const std::string& method, uint32_t route) {
  if (place->every != kNone) return place->every;
  if (method.empty()) {
    if (!place->methods.empty()) return place->methods.front().second;
    place->every = route;
    return std::nullopt;
  }
  for (const auto& [name, other] : place->methods) {
    // GET covers HEAD, so one place has one of them from another route at most.
    const bool covers = (name == "GET" && method == "HEAD") || (name == "HEAD" && method == "GET");
    if (name == method || (covers && other != route)) return other;
  }
  place->methods.emplace_back(method, route);
  return std::nullopt;
}

std::string AllowOf(const Place& place) {
  if (place.every != kNone) return std::string(kEveryMethod);
  std::vector<std::string> names;
  for (const auto& [name, route] : place.methods) names.push_back(name);
  if (std::find(names.begin(), names.end(), "GET") != names.end() &&
      std::find(names.begin(), names.end(), "HEAD") == names.end()) {
    names.push_back("HEAD");
  }
  std::sort(names.begin(), names.end());
  return absl::StrJoin(names, ", ");
}

}  // namespace

struct RouteTable::Data {
  std::vector<Route> routes;
  absl::flat_hash_map<std::string, uint32_t> by_name;
  std::vector<Tree> trees;
  std::vector<uint32_t> tree_of;  // by listener
};

RouteTable::RouteTable() : data_(std::make_shared<const Data>()) {}

RouteTable RouteTable::Build(std::vector<Route> routes, uint32_t listener_count,
                             std::vector<RouteConflict>* conflicts) {
  auto data = std::make_shared<Data>();
  data->routes = std::move(routes);
  // Listeners that see the same routes share a tree.
  std::vector<std::vector<uint32_t>> seen(listener_count);
  for (const Route& route : data->routes) {
    data->by_name.emplace(route.name, route.index);
    for (uint32_t listener : route.listeners) seen[listener].push_back(route.index);
  }
  std::map<std::vector<uint32_t>, uint32_t> tree_by_routes;
  for (const std::vector<uint32_t>& visible : seen) {
    auto [it, added] = tree_by_routes.try_emplace(visible, static_cast<uint32_t>(data->trees.size()));
    data->tree_of.push_back(it->second);
    if (!added) continue;
    Tree& tree = data->trees.emplace_back();
    for (uint32_t index : visible) {
      const Route& route = data->routes[index];
      std::vector<const HostPattern*> hosts;
      for (const HostPattern& host : route.hosts) hosts.push_back(&host);
      if (hosts.empty()) hosts.push_back(nullptr);
      for (const HostPattern* host : hosts) {
        Place& place = tree.PlaceFor(tree.HostFor(host), route.path);
        std::vector<std::string> methods = route.methods;
        if (methods.empty()) methods.emplace_back();
        for (const std::string& method : methods) {
          std::optional<uint32_t> other = Claim(&place, method, index);
          if (other.has_value()) {
            conflicts->push_back({*other, index, host == nullptr ? "" : host->ToString(), method});
          }
        }
      }
    }
    for (Place& place : tree.places) place.allow = AllowOf(place);
  }
  RouteTable table;
  table.data_ = std::move(data);
  return table;
}

RouteMatch RouteTable::Match(uint32_t listener, absl::string_view host, absl::string_view path,
                             absl::string_view method) const {
  if (listener >= data_->tree_of.size() || path.empty() || path.front() != '/') return {};
  const Place* place = data_->trees[data_->tree_of[listener]].Find(host, path);
  if (place == nullptr) return {};
  const uint32_t route = place->Find(method);
  if (route == kNone) return {nullptr, true, place->allow};
  return {&data_->routes[route], false, {}};
}

const std::vector<Route>& RouteTable::list() const { return data_->routes; }

const Route* RouteTable::Find(absl::string_view name) const {
  auto it = data_->by_name.find(name);
  return it == data_->by_name.end() ? nullptr : &data_->routes[it->second];
}

}  // namespace gatehouse::config
