// Upstreams is what a gateway knows of the services behind it, for all its workers: the directory, fed by snapshots, its
// events and its metrics.
//
// Ownership:  owns the directory. What it reports to outlives it or its Stop.
// Threading:  Use from the installer's thread; Stop once, when no Use follows; the rest from any.
// Errors:     none.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/base/clock.h"
#include "gateway/config/snapshot.h"
#include "gateway/events/event.h"
#include "gateway/metrics/registry.h"
#include "gateway/server/upstream_tls.h"
#include "gateway/upstream/directory.h"

namespace gatehouse::server {

class Upstreams {
 public:
  struct Options {
    size_t workers = 1;
    const Clock* clock = nullptr;
    std::unique_ptr<upstream::Resolver> resolver;  // null: the system's
    metrics::Registry* registry = nullptr;
    std::function<void(events::Event)> report;
    // The addresses of an upstream changed: every worker is to look again.
    std::function<void(const std::string&)> refresh;
  };
  explicit Upstreams(Options options);
  ~Upstreams();

  // Before workers adopt `snapshot`; `tls` was made of it.
  void Use(const config::Snapshot& snapshot, const UpstreamTlsContexts& tls);
  // Nothing is asked, reported or refreshed afterwards.
  void Stop();
  const upstream::Directory& directory() const { return *directory_; }

  // At most so many upstreams have metrics of their own.
  static constexpr size_t kMaxLabelled = 1000;

 private:
  class Line;
  void AddMetrics(const std::string& name, const upstream::Directory::Stats& stats);

  metrics::Registry* const registry_;
  const std::shared_ptr<Line> line_;
  std::unique_ptr<upstream::Directory> directory_;
  std::map<std::string, std::vector<uint64_t>> sources_;
};

// As the configuration says it; for Upstreams and its tests.
upstream::ServiceSpec SpecOf(const config::Upstream& upstream, std::shared_ptr<const tls::ClientContext> tls = nullptr);

}  // namespace gatehouse::server
