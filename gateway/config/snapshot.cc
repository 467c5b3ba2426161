#include "gateway/config/snapshot.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace gatehouse::config {
namespace {

// By name, in a list that is in order of names.
template <typename T>
const T* FindByName(const std::vector<T>& list, absl::string_view name) {
  auto it = std::lower_bound(list.begin(), list.end(), name,
                             [](const T& item, absl::string_view n) { return absl::string_view(item.name) < n; });
  return it != list.end() && it->name == name ? &*it : nullptr;
}

}  // namespace

const Name& Listener::NameFor(absl::string_view server_name) const {
  if (server_name.empty() || (exact_names.empty() && wildcard_names.empty())) return names.front();
  std::string lower;
  if (std::any_of(server_name.begin(), server_name.end(),
                  [](unsigned char c) { return absl::ascii_isupper(c); })) {
    lower = absl::AsciiStrToLower(server_name);
    server_name = lower;
  }
  if (auto it = exact_names.find(server_name); it != exact_names.end()) return names[it->second];
  const size_t dot = server_name.find('.');
  if (dot != absl::string_view::npos && dot != 0) {
    if (auto it = wildcard_names.find(server_name.substr(dot)); it != wildcard_names.end()) return names[it->second];
  }
  return names.front();
}

const Listener* Snapshot::FindListener(absl::string_view name) const { return FindByName(listeners, name); }
const Scheme* Snapshot::FindScheme(absl::string_view name) const { return FindByName(schemes, name); }
const Upstream* Snapshot::FindUpstream(absl::string_view name) const { return FindByName(upstreams, name); }

bool Listener::MayReach(uint32_t name_index, absl::string_view host) const {
  if (host.empty()) return true;
  if (!absl::StartsWith(host, "*.")) return &NameFor(host) == &names[name_index];
  if (name_index == 0) return true;  // unknown names under the wildcard
  const absl::string_view suffix = host.substr(1);
  return absl::c_any_of(names[name_index].names, [&](const std::string& own) {
    if (!absl::StartsWith(own, "*.")) return own.size() > suffix.size() && absl::EndsWith(own, suffix);
    const std::string of_name = own.substr(1);
    return of_name == suffix || absl::EndsWith(of_name, suffix);
  });
}

bool Snapshot::HasSchemeEpoch(uint64_t epoch) const {
  return std::any_of(schemes.begin(), schemes.end(), [&](const Scheme& scheme) { return scheme.epoch == epoch; });
}

bool Snapshot::Misdirected(const Listener& listener, absl::string_view server_name, absl::string_view host) const {
  if (host == server_name) return false;
  const Name& made_for = listener.NameFor(server_name);
  const Name& asked = listener.NameFor(host);
  return &made_for != &asked && made_for.configuration != asked.configuration;
}

}  // namespace gatehouse::config
