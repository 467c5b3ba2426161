#include "client/cli/references.h"

#include <set>
#include <string>
#include <utility>

namespace gatehouse::cli {
namespace {

class Names {
 public:
  void Add(v1::Kind kind, const std::string& name) {
    if (!name.empty()) names_.emplace(kind, name);
  }
  void Add(v1::Kind kind, const google::protobuf::RepeatedPtrField<std::string>& names) {
    for (const std::string& name : names) Add(kind, name);
  }
  void Add(const v1::Condition& condition) {
    if (condition.kind_case() == v1::Condition::kPolicy) Add(v1::POLICY, condition.policy());
    if (condition.has_claim()) Add(v1::SCHEME, condition.claim().scheme());
    if (condition.has_certificate()) Add(v1::SCHEME, condition.certificate().scheme());
    for (const v1::Conditions* list : {&condition.all_of(), &condition.any_of(), &condition.none_of()}) {
      for (const v1::Condition& one : list->conditions()) Add(one);
    }
  }
  std::vector<v1::ResourceId> Take() const {
    std::vector<v1::ResourceId> ids;
    for (const auto& [kind, name] : names_) {
      v1::ResourceId& id = ids.emplace_back();
      id.set_kind(kind);
      id.set_name(name);
    }
    return ids;
  }

 private:
  std::set<std::pair<v1::Kind, std::string>> names_;
};

}  // namespace

std::vector<v1::ResourceId> References(const v1::Resource& resource) {
  Names names;
  if (resource.has_listener()) {
    names.Add(v1::SERVER_CERTIFICATE, resource.listener().server_certificates());
    names.Add(v1::SCHEME, resource.listener().verify_with());
  } else if (resource.has_scheme()) {
    names.Add(v1::TRUST_STORE, resource.scheme().client_certificate().trust_store());
    names.Add(v1::USER_STORE, resource.scheme().basic().user_store());
  } else if (resource.has_policy()) {
    names.Add(resource.policy().condition());
  } else if (resource.has_upstream()) {
    names.Add(v1::TRUST_STORE, resource.upstream().tls().trust_store());
    names.Add(v1::SERVER_CERTIFICATE, resource.upstream().tls().client_certificate());
  } else if (resource.has_route()) {
    const v1::Route& route = resource.route();
    names.Add(v1::LISTENER, route.listeners());
    names.Add(v1::SCHEME, route.require().any_of());
    names.Add(v1::SCHEME, route.require().all_of());
    names.Add(v1::POLICY, route.require().policies());
    names.Add(v1::UPSTREAM, route.upstream());
  }
  return names.Take();
}

absl::Span<const v1::Kind> Referrers(v1::Kind kind) {
  static constexpr v1::Kind kOfCertificates[] = {v1::LISTENER, v1::UPSTREAM};
  static constexpr v1::Kind kOfTrustStores[] = {v1::SCHEME, v1::UPSTREAM};
  static constexpr v1::Kind kOfUserStores[] = {v1::SCHEME};
  static constexpr v1::Kind kOfSchemes[] = {v1::LISTENER, v1::POLICY, v1::ROUTE};
  static constexpr v1::Kind kOfPolicies[] = {v1::POLICY, v1::ROUTE};
  static constexpr v1::Kind kOfRest[] = {v1::ROUTE};
  switch (kind) {
    case v1::SERVER_CERTIFICATE: return kOfCertificates;
    case v1::TRUST_STORE: return kOfTrustStores;
    case v1::USER_STORE: return kOfUserStores;
    case v1::SCHEME: return kOfSchemes;
    case v1::POLICY: return kOfPolicies;
    case v1::LISTENER:
    case v1::UPSTREAM: return kOfRest;
    default: return {};
  }
}

}  // namespace gatehouse::cli
