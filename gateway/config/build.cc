#include "gateway/config/build.h"

#include <utility>

#include "gateway/config/build_draft.h"

namespace gatehouse::config {

BuildResult Build(const v1::ConfigSet& set, const BuildOptions& options) {
  Draft draft{.set = set,
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
  draft.snapshot->digest = draft.parts->index.digest;
  draft.snapshot->parts = std::move(draft.parts);
  result.snapshot = std::move(draft.snapshot);
  return result;
}

CompiledPolicies CompilePolicies(const v1::ConfigSet& set) {
  v1::ConfigSet part;
  *part.mutable_policies() = set.policies();
  for (const v1::Scheme& scheme : set.schemes()) part.add_schemes()->set_name(scheme.name());
  Draft draft{.set = part,
              .options = {},
              .previous = nullptr,
              .snapshot = std::make_shared<Snapshot>(),
              .parts = std::make_shared<Snapshot::Parts>()};
  IndexSet(draft);
  BuildPolicies(draft);
  CompiledPolicies compiled;
  compiled.violations = std::move(draft.violations);
  if (compiled.violations.empty()) compiled.policies.insert(draft.parts->policies.begin(), draft.parts->policies.end());
  return compiled;
}

}  // namespace gatehouse::config
