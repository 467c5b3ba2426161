#include "control/store/store.h"

namespace gatehouse::store {

ResourceKey KeyOf(const v1::Resource& resource) {
  switch (resource.kind_case()) {
    case v1::Resource::kListener: return {v1::LISTENER, resource.listener().name()};
    case v1::Resource::kServerCertificate: return {v1::SERVER_CERTIFICATE, resource.server_certificate().name()};
    case v1::Resource::kTrustStore: return {v1::TRUST_STORE, resource.trust_store().name()};
    case v1::Resource::kScheme: return {v1::SCHEME, resource.scheme().name()};
    case v1::Resource::kUserStore: return {v1::USER_STORE, resource.user_store().name()};
    case v1::Resource::kPolicy: return {v1::POLICY, resource.policy().name()};
    case v1::Resource::kUpstream: return {v1::UPSTREAM, resource.upstream().name()};
    case v1::Resource::kRoute: return {v1::ROUTE, resource.route().name()};
    case v1::Resource::kBinding: return {v1::BINDING, resource.binding().name()};
    case v1::Resource::KIND_NOT_SET: break;
  }
  return {0, ""};
}

void AddTo(const v1::Resource& resource, v1::ConfigSet* set) {
  switch (resource.kind_case()) {
    case v1::Resource::kListener: *set->add_listeners() = resource.listener(); break;
    case v1::Resource::kServerCertificate: *set->add_server_certificates() = resource.server_certificate(); break;
    case v1::Resource::kTrustStore: *set->add_trust_stores() = resource.trust_store(); break;
    case v1::Resource::kScheme: *set->add_schemes() = resource.scheme(); break;
    case v1::Resource::kUserStore: *set->add_user_stores() = resource.user_store(); break;
    case v1::Resource::kPolicy: *set->add_policies() = resource.policy(); break;
    case v1::Resource::kUpstream: *set->add_upstreams() = resource.upstream(); break;
    case v1::Resource::kRoute: *set->add_routes() = resource.route(); break;
    case v1::Resource::kBinding: *set->add_bindings() = resource.binding(); break;
    case v1::Resource::KIND_NOT_SET: break;
  }
}

v1::ConfigSet SetOf(const State& state) {
  v1::ConfigSet set;
  for (const auto& [key, resource] : state.resources) AddTo(*resource, &set);
  return set;
}

std::vector<v1::Resource> ResourcesOf(const v1::ConfigSet& set) {
  std::vector<v1::Resource> all;
  for (const auto& m : set.listeners()) *all.emplace_back().mutable_listener() = m;
  for (const auto& m : set.server_certificates()) *all.emplace_back().mutable_server_certificate() = m;
  for (const auto& m : set.trust_stores()) *all.emplace_back().mutable_trust_store() = m;
  for (const auto& m : set.schemes()) *all.emplace_back().mutable_scheme() = m;
  for (const auto& m : set.user_stores()) *all.emplace_back().mutable_user_store() = m;
  for (const auto& m : set.policies()) *all.emplace_back().mutable_policy() = m;
  for (const auto& m : set.upstreams()) *all.emplace_back().mutable_upstream() = m;
  for (const auto& m : set.routes()) *all.emplace_back().mutable_route() = m;
  for (const auto& m : set.bindings()) *all.emplace_back().mutable_binding() = m;
  return all;
}

}  // namespace gatehouse::store
