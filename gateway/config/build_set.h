// What control plane and gateways must agree on about a configuration: which resources of two differ, and what a delta makes of one.
//
// Threading: pure functions.
// Units:     a difference, and a delta's effect, cost what differs.
// Errors:    ApplyDelta: FAILED_PRECONDITION when the result is not what the delta's digest says.
#pragma once

#include <cstddef>
#include <optional>
#include <set>

#include "absl/status/statusor.h"
#include "gateway/config/build_resource_map.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::config {

// Keys that `to` has and `from` has not, or has otherwise; and keys that only `from` has.
struct SetDifference {
  std::set<ResourceKey> changed;
  std::set<ResourceKey> removed;
  bool empty() const { return changed.empty() && removed.empty(); }
};
SetDifference Difference(const ResourceMap& from, const ResourceMap& to);

// Pick returns those resources of `all` that `keys` names, and no more than `max_bytes` of them: nullopt if there are.
std::optional<v1::ConfigSet> Pick(const ResourceMap& all, const std::set<ResourceKey>& keys, size_t max_bytes);

// ApplyDelta returns `base` with the delta's resources removed and replaced, checked against the delta's digest.
absl::StatusOr<ResourceMap> ApplyDelta(ResourceMap base, const v1::Delta& delta);

}  // namespace gatehouse::config
