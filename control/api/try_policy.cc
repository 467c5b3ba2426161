#include "control/api/try_policy.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/validate/validate.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/config/build.h"
#include "gateway/config/build_verdict.h"
#include "gateway/config/suggest.h"
#include "gateway/identity/claims.h"

namespace gatehouse::api {
namespace {

constexpr int kMaxPolicies = 1000;
constexpr int kMaxClaims = 10'000;
constexpr size_t kMaxPem = 1024 * 1024;

// The configuration's schemes and policies, with the request's policies in the place of those of the same name.
v1::ConfigSet SetOf(const store::State& state, const v1::TestPolicyRequest& request) {
  v1::ConfigSet set;
  std::map<std::string, const v1::Policy*> policies;
  for (const auto& [key, resource] : state.resources) {
    if (resource->has_scheme()) *set.add_schemes() = resource->scheme();
    if (resource->has_policy()) policies[key.second] = &resource->policy();
  }
  std::vector<const v1::Policy*> twice;  // is a violation that compiling finds
  std::map<std::string, const v1::Policy*> given;
  for (const v1::Policy& policy : request.policies()) {
    if (!given.emplace(policy.name(), &policy).second) twice.push_back(&policy);
  }
  for (const auto& [name, policy] : given) policies[name] = policy;
  for (const auto& [name, policy] : policies) *set.add_policies() = *policy;
  for (const v1::Policy* policy : twice) *set.add_policies() = *policy;
  return set;
}

// The part that the certificate gives, as the scheme that is said to have accepted it would.
absl::StatusOr<identity::IdentityRef> CertificatePart(const v1::TestPolicyRequest& request, const v1::ConfigSet& set) {
  if (request.certificate_pem().size() > kMaxPem) return absl::InvalidArgumentError("certificate_pem: over 1 MiB");
  absl::StatusOr<std::vector<certs::CertificateRef>> list = certs::Certificate::ListFromPem(request.certificate_pem());
  if (!list.ok()) return absl::InvalidArgumentError(absl::StrCat("certificate_pem: ", list.status().message()));
  std::vector<const v1::Scheme*> schemes;
  for (const v1::Scheme& scheme : set.schemes()) {
    if (!scheme.has_client_certificate()) continue;
    if (request.certificate_scheme().empty() || scheme.name() == request.certificate_scheme()) schemes.push_back(&scheme);
  }
  identity::CertificateClaimOptions options;
  options.scheme = request.certificate_scheme().empty() ? "Certificate" : request.certificate_scheme();
  if (schemes.size() == 1) {
    const v1::ClientCertificateScheme& scheme = schemes[0]->client_certificate();
    options.scheme = schemes[0]->name();
    if (scheme.name_format() == v1::ClientCertificateScheme::DOTNET) options.name_format = identity::NameFormat::kDotNet;
    if (scheme.serial_format() == v1::ClientCertificateScheme::INTEGER) {
      options.serial_format = identity::SerialFormat::kInteger;
    }
  }
  return identity::CertificateIdentity(list->front(), {}, options);
}

absl::StatusOr<identity::IdentityRef> IdentityOf(const v1::TestPolicyRequest& request, const v1::ConfigSet& set) {
  std::vector<identity::IdentityRef> parts;
  if (!request.certificate_pem().empty()) {
    GH_ASSIGN_OR_RETURN(identity::IdentityRef part, CertificatePart(request, set));
    parts.push_back(std::move(part));
  }
  std::map<std::string, identity::Part> by_scheme;
  for (int i = 0; i < request.claims_size(); ++i) {
    const v1::TestClaim& claim = request.claims(i);
    if (claim.type().empty()) return absl::InvalidArgumentError(absl::StrCat("claims[", i, "].type: is required"));
    identity::Part& part = by_scheme[claim.scheme()];
    part.scheme = claim.scheme();
    part.claims.push_back({std::string(identity::ClaimType(claim.type())), claim.value(), claim.issuer(), claim.scheme()});
  }
  for (auto& [scheme, part] : by_scheme) parts.push_back(identity::Identity::Of(std::move(part)));
  return identity::Identity::Merge(parts);
}

}  // namespace

absl::StatusOr<v1::TestPolicyResponse> TryPolicy(const store::State& state, const v1::TestPolicyRequest& request,
                                                 absl::Time now) {
  if (request.policy().empty()) return absl::InvalidArgumentError("policy: is required");
  if (request.policies_size() > kMaxPolicies) {
    return absl::InvalidArgumentError(absl::StrCat("policies: at most ", kMaxPolicies));
  }
  if (request.claims_size() > kMaxClaims) return absl::InvalidArgumentError(absl::StrCat("claims: at most ", kMaxClaims));
  std::vector<v1::Violation> violations;
  validate::FindUnknownFields(request, "", &violations);
  const v1::ConfigSet set = SetOf(state, request);
  const config::CompiledPolicies compiled = config::CompilePolicies(set);
  for (const config::Violation& violation : compiled.violations) {
    v1::Violation& to = violations.emplace_back();
    to.set_path(violation.path);
    to.set_message(violation.message);
  }
  if (!violations.empty()) return validate::Refusal(violations);
  const auto policy = compiled.policies.find(request.policy());
  if (policy == compiled.policies.end()) {
    std::vector<absl::string_view> names;
    for (const auto& [name, known] : compiled.policies) names.push_back(name);
    return absl::NotFoundError(absl::StrCat("no policy named \"", EscapeText(request.policy()), "\"",
                                            config::DidYouMean(request.policy(), names)));
  }
  std::vector<uint8_t> address;
  if (!request.address().empty()) {
    absl::StatusOr<std::vector<uint8_t>> parsed = identity::ParseAddress(request.address());
    if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat("address: ", parsed.status().message()));
    address = *std::move(parsed);
  }
  GH_ASSIGN_OR_RETURN(const identity::IdentityRef caller, IdentityOf(request, set));
  const absl::Time at = request.has_at() ? absl::FromUnixSeconds(request.at().seconds()) : now;
  v1::TestPolicyResponse response;
  config::FillVerdict(*policy->second, {*caller, address, at}, response.mutable_verdict());
  response.set_revision(state.revision);
  return response;
}

}  // namespace gatehouse::api
