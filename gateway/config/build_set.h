// What control plane and gateways must agree on about a ConfigSet: its canonical digest, which resources of two sets
// differ, and what a delta makes of a set.
//
// Threading: pure functions.
// Errors:    ApplyDelta: FAILED_PRECONDITION when the result is not what the delta's digest says.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "gateway/base/digest.h"
#include "gatehouse/v1/config_set.pb.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::config {

// Kind and name; ordered as the canonical digest is.
using ResourceKey = std::pair<int, std::string>;

struct SetIndex {
  std::map<ResourceKey, Sha256Digest> resources;  // of the deterministic serialization of each Resource
  Sha256Digest digest{};                          // canonical, as Delta.digest documents it
};
// Of several resources with one kind and name only the first counts.
SetIndex IndexOf(const v1::ConfigSet& set);

// Keys that `to` has and `from` has not, or has otherwise; and keys that only `from` has.
struct SetDifference {
  std::set<ResourceKey> changed;
  std::set<ResourceKey> removed;
  bool empty() const { return changed.empty() && removed.empty(); }
};
SetDifference Difference(const SetIndex& from, const SetIndex& to);

// Pick returns those resources of `set` that `keys` names.
v1::ConfigSet Pick(const v1::ConfigSet& set, const std::set<ResourceKey>& keys);

// ApplyDelta returns `base` with the delta's resources removed and replaced, checked against the delta's digest.
absl::StatusOr<v1::ConfigSet> ApplyDelta(v1::ConfigSet base, const v1::Delta& delta);

}  // namespace gatehouse::config
