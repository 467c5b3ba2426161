#include "gateway/upstream/pools.h"

#include <utility>

namespace gatehouse::upstream {

void Pools::Apply(std::vector<UpstreamOptions> upstreams) {
  std::erase_if(retired_, [](const std::unique_ptr<Pool>& pool) { return pool->running() == 0; });
  absl::flat_hash_map<std::string, std::unique_ptr<Pool>> before = std::exchange(pools_, {});
  for (UpstreamOptions& options : upstreams) {
    auto it = before.find(options.name);
    // Another protocol is another pool.
    if (it == before.end() || it->second->options().http2 != options.http2) {
      std::string name = options.name;
      pools_.emplace(std::move(name), Pool::Create(loop_, std::move(options)));
      continue;
    }
    it->second->Update(std::move(options));
    std::string name = it->first;
    pools_.emplace(std::move(name), std::move(it->second));
    before.erase(it);
  }
  for (auto& [name, pool] : before) {
    pool->Retire();
    retired_.push_back(std::move(pool));
  }
}

Pool* Pools::Find(absl::string_view name) const {
  auto it = pools_.find(name);
  return it == pools_.end() ? nullptr : it->second.get();
}

}  // namespace gatehouse::upstream
