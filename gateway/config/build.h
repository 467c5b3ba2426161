// Build compiles a configuration into a Snapshot, or says everything that is wrong with it at once. The control plane runs
// it before it commits, the gateway before it obeys: nothing is published that a gateway would refuse.
//
// Ownership:  a snapshot shares the resources that it was made from.
// Threading:  pure; any thread. `previous` must stay alive during the call only.
// Units:      one trust store changed among 100,000 routes costs a comparison of digests, not a rebuild.
// Errors:     violations, each with its path, e.g. `routes["orders"].require.any_of[1]`; no message contains a secret.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/secret.h"
#include "gateway/config/build_resource_map.h"
#include "gateway/config/snapshot.h"
#include "gateway/identity/policy.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::config {

struct Violation {
  std::string path;
  std::string message;
  friend bool operator==(const Violation&, const Violation&) = default;
};

struct BuildOptions {
  uint64_t revision = 0;
  std::string incarnation;
  // Unchanged parts are shared with it, and warnings that compare ("opens 3 any_scheme routes") need it. May be null.
  const Snapshot* previous = nullptr;
  // For warnings about what expires soon; nothing is refused by the clock. InfinitePast: no such warnings.
  absl::Time now = absl::InfinitePast();
  // Reads a file of the machine that will obey the snapshot; its errors name the path and the cause. Null where that
  // machine's files cannot be seen (the control plane): what they hold is not checked, and the snapshot not complete.
  std::function<absl::StatusOr<Secret>(const std::string& path)> read_file;
};

struct BuildResult {
  std::shared_ptr<const Snapshot> snapshot;  // null if and only if there are violations
  std::vector<Violation> violations;
  std::vector<Violation> warnings;

  bool ok() const { return snapshot != nullptr; }
};

BuildResult Build(const ResourceMap& resources, const BuildOptions& options = {});
// Of a set that may name something twice, or nothing at all: violations, too.
BuildResult Build(const v1::ConfigSet& set, const BuildOptions& options = {});

// CompiledPolicies is a set's policies alone, by name; none if there are violations.
struct CompiledPolicies {
  std::map<std::string, identity::PolicyRef> policies;
  std::vector<Violation> violations;
};
// Of the set's other kinds only the names of schemes are looked at.
CompiledPolicies CompilePolicies(const v1::ConfigSet& set);

}  // namespace gatehouse::config
