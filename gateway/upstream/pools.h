// Pools are one worker's pools, by name of upstream. Apply takes a snapshot's upstreams: pools that stay keep their
// connections; those that are gone take nothing new and end when their last request has.
//
// Ownership:  owns the pools. Find's pointer is good until the Apply after the one that removed the upstream, at least
//             as long as one of the pool's requests runs. Requests must be destroyed before this.
// Threading:  the loop's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/pool.h"

namespace gatehouse::upstream {

class Pools {
 public:
  // REQUIRES: loop outlives this.
  explicit Pools(loop::Loop* loop) : loop_(loop) {}

  // Not inside a callback of one of the pools.
  void Apply(std::vector<UpstreamOptions> upstreams);
  // Null when there is no such upstream.
  Pool* Find(absl::string_view name) const;
  // `f(name, pool)` for each that is in force.
  template <typename F>
  void ForEach(F f) const {
    for (const auto& [name, pool] : pools_) f(name, *pool);
  }
  // Pools that are gone from the configuration and still carry requests.
  size_t retired() const { return retired_.size(); }

 private:
  loop::Loop* const loop_;
  absl::flat_hash_map<std::string, std::unique_ptr<Pool>> pools_;
  std::vector<std::unique_ptr<Pool>> retired_;
};

}  // namespace gatehouse::upstream
