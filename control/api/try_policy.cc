#include "control/api/try_policy.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/validate/validate.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/trust_store.h"
#include "gateway/config/build.h"
#include "gateway/config/build_verdict.h"
#include "gateway/config/suggest.h"
#include "gateway/identity/claims.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace gatehouse::api {
namespace {

constexpr int kMaxPolicies = 1000;
constexpr int kMaxClaims = 10'000;
constexpr size_t kMaxPem = 1024 * 1024;
// Whoever may ask occupies a thread that others wait for, and memory: each expression may take a MiB and 20 ms to compile.
constexpr size_t kMaxRegexes = 200;
// Octets that regular expressions read, and claims that clauses look at; about a second, with what an explanation repeats.
constexpr size_t kMaxWork = 16 * 1024 * 1024;

size_t RegexesOf(const google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  size_t count = 0;
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->name() == "regex") ++count;
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) count += RegexesOf(reflection.GetMessage(message, field));
    for (int i = 0; field->is_repeated() && i < reflection.FieldSize(message, field); ++i) {
      count += RegexesOf(reflection.GetRepeatedMessage(message, field, i));
    }
  }
  return count;
}

absl::Status CheckWork(const identity::Policy& policy, const identity::Identity& caller) {
  size_t claims = 0, octets = 0;
  caller.ForEachClaim([&](const identity::Claim& claim) {
    ++claims;
    octets += claim.type.size() + claim.value.size();
  });
  if (policy.all_regexes() * octets + policy.all_nodes() * claims <= kMaxWork) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("claims: ", claims, " of ", octets, " octets together are more than is tried with ", policy.all_nodes(),
                   " nodes and ", policy.all_regexes(), " regular expressions"));
}

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

// As certs::TrustStore tells: its key is pinned, and it is not.
bool IsPinnedByKey(const v1::TrustStore& store, const certs::Certificate& leaf) {
  bool key = false;
  for (const v1::Pin& pin : store.pins()) {
    if (pin.kind_case() == v1::Pin::kSpkiSha256) {
      const auto parsed = certs::ParsePinDigest(certs::Pin::Kind::kSpki, pin.spki_sha256());
      key = key || (parsed.ok() && parsed->digest == leaf.spki_sha256());
      continue;
    }
    const auto parsed = pin.kind_case() == v1::Pin::kPem
                            ? certs::PinFromPem(pin.pem())
                            : certs::ParsePinDigest(certs::Pin::Kind::kCertificate, pin.certificate_sha256());
    if (parsed.ok() && parsed->digest == leaf.sha256()) return false;
  }
  return key;
}

// The part that the certificate gives, as the scheme that is said to have accepted it would.
absl::StatusOr<identity::IdentityRef> CertificatePart(const store::State& state, const v1::TestPolicyRequest& request,
                                                      const v1::ConfigSet& set) {
  if (request.certificate_pem().size() > kMaxPem) return absl::InvalidArgumentError("certificate_pem: over 1 MiB");
  absl::StatusOr<std::vector<certs::CertificateRef>> list = certs::Certificate::ListFromPem(request.certificate_pem());
  if (!list.ok()) return absl::InvalidArgumentError(absl::StrCat("certificate_pem: ", list.status().message()));
  std::vector<const v1::Scheme*> schemes;
  for (const v1::Scheme& scheme : set.schemes()) {
    if (!scheme.has_client_certificate()) continue;
    if (request.certificate_scheme().empty() || scheme.name() == request.certificate_scheme()) schemes.push_back(&scheme);
  }
  bool by_key = false;
  identity::CertificateClaimOptions options;
  options.scheme = request.certificate_scheme().empty() ? "Certificate" : request.certificate_scheme();
  if (schemes.size() == 1) {
    const v1::ClientCertificateScheme& scheme = schemes[0]->client_certificate();
    options.scheme = schemes[0]->name();
    if (scheme.name_format() == v1::ClientCertificateScheme::DOTNET) options.name_format = identity::NameFormat::kDotNet;
    if (scheme.serial_format() == v1::ClientCertificateScheme::INTEGER) {
      options.serial_format = identity::SerialFormat::kInteger;
    }
    const auto store = state.resources.find({v1::TRUST_STORE, scheme.trust_store()});
    by_key = store != state.resources.end() && IsPinnedByKey(store->second->trust_store(), *list->front());
  }
  return identity::CertificateIdentity(list->front(), {}, options, by_key, /*any_self_signed=*/false, by_key);
}

absl::StatusOr<identity::IdentityRef> IdentityOf(const store::State& state, const v1::TestPolicyRequest& request,
                                                 const v1::ConfigSet& set) {
  std::vector<identity::IdentityRef> parts;
  if (!request.certificate_pem().empty()) {
    GH_ASSIGN_OR_RETURN(identity::IdentityRef part, CertificatePart(state, request, set));
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
  size_t regexes = 0;
  for (const v1::Policy& one : request.policies()) regexes += RegexesOf(one);
  if (regexes > kMaxRegexes) {
    return absl::InvalidArgumentError(
        absl::StrCat("policies: at most ", kMaxRegexes, " regular expressions together, not ", regexes));
  }
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
  GH_ASSIGN_OR_RETURN(const identity::IdentityRef caller, IdentityOf(state, request, set));
  GH_RETURN_IF_ERROR(CheckWork(*policy->second, *caller));
  const absl::Time at = request.has_at() ? absl::FromUnixSeconds(request.at().seconds()) : now;
  v1::TestPolicyResponse response;
  config::FillVerdict(*policy->second, {*caller, address, at}, response.mutable_verdict());
  response.set_revision(state.revision);
  return response;
}

}  // namespace gatehouse::api
