#include "gateway/config/build_set.h"

#include <utility>

#include "absl/status/status.h"

namespace gatehouse::config {

SetDifference Difference(const ResourceMap& from, const ResourceMap& to) {
  SetDifference difference;
  ResourceMap::Compare(from, to, [&](const ResourceKey& key, const ResourceRef*, const ResourceRef* now) {
    (now != nullptr ? difference.changed : difference.removed).insert(key);
  });
  return difference;
}

std::optional<v1::ConfigSet> Pick(const ResourceMap& all, const std::set<ResourceKey>& keys, size_t max_bytes) {
  v1::ConfigSet picked;
  size_t bytes = 0;
  for (const ResourceKey& key : keys) {
    const auto it = all.find(key);
    if (it == all.end()) continue;
    bytes += it->second->ByteSizeLong();
    if (bytes > max_bytes) return std::nullopt;
    AddTo(*it->second, &picked);
  }
  return picked;
}

absl::StatusOr<ResourceMap> ApplyDelta(ResourceMap base, const v1::Delta& delta) {
  for (const v1::ResourceId& id : delta.removed()) base.erase({id.kind(), id.name()});
  for (const auto& [key, resource] : ResourceMap(delta.changed())) base[key] = resource;
  if (AsView(base.digest()) != delta.digest()) {
    return absl::FailedPreconditionError("delta: the resulting set's digest is not the one announced");
  }
  return base;
}

}  // namespace gatehouse::config
