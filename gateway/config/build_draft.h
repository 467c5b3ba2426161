// Draft is a snapshot in the making: the set, what was found wrong so far, and the parts that the steps of Build hand to
// each other. Internal to config.
//
// Ownership:  borrows the resources, the options and the previous snapshot.
// Threading:  one thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/certs/trust_store.h"
#include "gateway/config/build.h"
#include "gateway/config/build_set.h"
#include "gateway/config/snapshot.h"
#include "gateway/credentials/user_store.h"
#include "gateway/identity/policy.h"
#include "gatehouse/v1/config_set.pb.h"
#include "google/protobuf/duration.pb.h"

namespace gatehouse::config {

// Parts is what the next Build may take over from this one, by resource name.
struct Snapshot::Parts {
  ResourceMap resources;
  absl::flat_hash_map<std::string, certs::TrustStoreRef> trust_stores;
  // Trust stores joined with the system's roots, by who uses them.
  absl::flat_hash_map<std::string, certs::TrustStoreRef> joined_stores;
  absl::flat_hash_map<std::string, std::shared_ptr<const credentials::UserStore>> user_stores;
  absl::flat_hash_map<std::string, certs::ServerCredentialRef> credentials;
  absl::flat_hash_map<std::string, std::shared_ptr<const identity::Policy>> policies;
  // What the route table was built from besides the routes and policies themselves.
  std::string route_facts;
  std::vector<Violation> route_warnings;
  std::shared_ptr<const std::vector<CertificateReach>> reach;  // by listener
};

// NameIndex finds the resources of one kind by name.
class NameIndex {
 public:
  // False: there already.
  bool Add(absl::string_view name, uint32_t index) {
    order_.push_back(name);
    return by_name_.emplace(name, index).second;
  }
  const uint32_t* Find(absl::string_view name) const {
    auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : &it->second;
  }
  // `no scheme named "Basci"; did you mean "Basic"?`
  std::string Missing(absl::string_view kind, absl::string_view name) const;

 private:
  absl::flat_hash_map<absl::string_view, uint32_t> by_name_;
  std::vector<absl::string_view> order_;
};

struct Draft {
  const ResourceMap& resources;
  const BuildOptions& options;
  const Snapshot* previous;  // null, or with parts
  std::shared_ptr<Snapshot> snapshot;
  std::shared_ptr<Snapshot::Parts> parts;
  std::vector<Violation> violations;
  std::vector<Violation> warnings;

  // Each kind in order of names, without repeats; indexes are those of the snapshot.
  std::vector<const v1::Listener*> listeners;
  std::vector<const v1::ServerCertificate*> server_certificates;
  std::vector<const v1::TrustStore*> trust_stores;
  std::vector<const v1::Scheme*> schemes;
  std::vector<const v1::UserStore*> user_stores;
  std::vector<const v1::Policy*> policies;
  std::vector<const v1::Upstream*> upstreams;
  std::vector<const v1::Route*> routes;  // once IndexRoutes ran
  // Server certificates that are right in form, in files that cannot be seen here.
  absl::flat_hash_set<std::string> unseen_certificates;
  NameIndex listener_names, server_certificate_names, trust_store_names, scheme_names, user_store_names, policy_names,
      upstream_names;

  template <typename... A>
  void Violate(std::string path, const A&... message) {
    violations.push_back({std::move(path), absl::StrCat(message...)});
  }
  template <typename... A>
  void Warn(std::string path, const A&... message) {
    warnings.push_back({std::move(path), absl::StrCat(message...)});
  }
  // The resource is, octet by octet, what the previous snapshot was built from.
  bool Unchanged(v1::Kind kind, const std::string& name) const;
};

// `routes["orders"]`, the name escaped.
std::string PathOf(absl::string_view list, absl::string_view name);

// The duration, or `fallback` when the field is absent or, with `zero_is_default`, zero; out of [least, most] is a
// violation at `path`.
struct DurationBounds {
  absl::Duration fallback, least, most;
  bool zero_is_default = true;
};
absl::Duration ReadDuration(Draft& draft, bool present, const google::protobuf::Duration& value,
                            const std::string& path, const DurationBounds& bounds);
// The number, or `fallback` when it is zero.
uint64_t ReadNumber(Draft& draft, uint64_t value, const std::string& path, uint64_t fallback, uint64_t least,
                    uint64_t most);

certs::Requirements ReadRequirements(Draft& draft, const std::string& path, const v1::CertificateMatcher& require);

// What answers a route of that kind.
void ReadRedirect(Draft& draft, const std::string& path, const v1::Redirect& v, Route* route);
// What comes on top of a route's action, which was read: rewriting, fields of the answer, limits, events, log.
void ReadRouteExtras(Draft& draft, const std::string& path, const v1::Route& v, Route* route);
// `of_route`: it may say `off`.
AccessLogRef ReadAccessLog(Draft& draft, const std::string& path, const v1::AccessLog& v, bool of_route);

// The steps, in the order they are taken.
void IndexSet(Draft& draft);
// Apart, because there are many: not needed where they are shared with the previous snapshot.
void IndexRoutes(Draft& draft);
void BuildTrustStores(Draft& draft);
void BuildUserStores(Draft& draft);
void BuildSchemes(Draft& draft);
void BuildPolicies(Draft& draft);
void BuildServerCertificates(Draft& draft);
void BuildUpstreams(Draft& draft);
void BuildRoutes(Draft& draft);
void BuildListeners(Draft& draft);

// The service of a Basic scheme that has one.
delegate::ServiceRef BuildValidator(Draft& draft, const v1::Scheme& scheme);

// TLS of an upstream; null when it has none. With violations it is of no use.
UpstreamTlsRef BuildUpstreamTls(Draft& draft, const v1::Upstream& upstream);

// `named` (may be null) and the authorities of this machine, as one; null after a violation at `path`. `key` is what it is
// remembered by for the next Build.
certs::TrustStoreRef WithSystemRoots(Draft& draft, const std::string& path, const certs::TrustStoreRef& named,
                                     const std::string& key);

// `ip:port` or `[v6]:port`; the address' octets (4 or 16) and the port.
struct Endpoint {
  std::string ip;
  uint16_t port = 0;
};
absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text, bool port_zero);
// Labels of letters, digits, hyphens and underscores, the last one no number.
bool IsHostName(absl::string_view name);
// `name:port`, the port not 0.
bool IsHostAndPort(absl::string_view text);

}  // namespace gatehouse::config
