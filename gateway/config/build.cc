#include "gateway/config/build.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

// What a map cannot hold, and a list of it can.
template <typename List>
void CheckNames(absl::string_view list_name, const List& list, std::vector<Violation>* violations) {
  absl::flat_hash_set<absl::string_view> seen;
  for (int i = 0; i < list.size(); ++i) {
    if (list[i].name().empty()) {
      violations->push_back({absl::StrCat(list_name, "[", i, "].name"), "is required"});
    } else if (!seen.insert(list[i].name()).second) {
      violations->push_back({PathOf(list_name, list[i].name()), "is there twice; names are unique within a kind"});
    }
  }
}

std::vector<Violation> NameViolations(const v1::ConfigSet& set) {
  std::vector<Violation> violations;
  CheckNames("listeners", set.listeners(), &violations);
  CheckNames("serverCertificates", set.server_certificates(), &violations);
  CheckNames("trustStores", set.trust_stores(), &violations);
  CheckNames("schemes", set.schemes(), &violations);
  CheckNames("userStores", set.user_stores(), &violations);
  CheckNames("policies", set.policies(), &violations);
  CheckNames("upstreams", set.upstreams(), &violations);
  CheckNames("routes", set.routes(), &violations);
  return violations;
}

// Those without a name are left out: they were told.
ResourceMap Named(const v1::ConfigSet& set) {
  ResourceMap resources(set);
  for (int kind = 1; kind < v1::Kind_ARRAYSIZE; ++kind) resources.erase({kind, ""});
  return resources;
}

}  // namespace

BuildResult Build(const v1::ConfigSet& set, const BuildOptions& options) {
  std::vector<Violation> violations = NameViolations(set);
  BuildResult result = Build(Named(set), options);
  if (violations.empty()) return result;
  violations.insert(violations.end(), result.violations.begin(), result.violations.end());
  result.violations = std::move(violations);
  result.snapshot = nullptr;
  return result;
}

BuildResult Build(const ResourceMap& resources, const BuildOptions& options) {
  Draft draft{.resources = resources,
              .options = options,
              .previous = options.previous != nullptr && options.previous->parts != nullptr ? options.previous : nullptr,
              .snapshot = std::make_shared<Snapshot>(),
              .parts = std::make_shared<Snapshot::Parts>()};
  IndexSet(draft);
  BuildTrustStores(draft);
  BuildUserStores(draft);
  BuildSchemes(draft);
  BuildPolicies(draft);
  BuildServerCertificates(draft);
  BuildUpstreams(draft);
  BuildRoutes(draft);
  BuildListeners(draft);

  BuildResult result;
  result.warnings = std::move(draft.warnings);
  result.violations = std::move(draft.violations);
  if (!result.violations.empty()) return result;
  draft.snapshot->revision = options.revision;
  draft.snapshot->incarnation = options.incarnation;
  draft.snapshot->digest = resources.digest();
  draft.snapshot->parts = std::move(draft.parts);
  result.snapshot = std::move(draft.snapshot);
  return result;
}

CompiledPolicies CompilePolicies(const v1::ConfigSet& set) {
  v1::ConfigSet part;
  *part.mutable_policies() = set.policies();
  for (const v1::Scheme& scheme : set.schemes()) part.add_schemes()->set_name(scheme.name());
  const ResourceMap resources = Named(part);
  const BuildOptions options;
  Draft draft{.resources = resources,
              .options = options,
              .previous = nullptr,
              .snapshot = std::make_shared<Snapshot>(),
              .parts = std::make_shared<Snapshot::Parts>()};
  IndexSet(draft);
  BuildPolicies(draft);
  CompiledPolicies compiled;
  compiled.violations = NameViolations(part);
  compiled.violations.insert(compiled.violations.end(), draft.violations.begin(), draft.violations.end());
  if (compiled.violations.empty()) compiled.policies.insert(draft.parts->policies.begin(), draft.parts->policies.end());
  return compiled;
}

}  // namespace gatehouse::config
