// Registry owns the workers' metrics and prints their sum in Prometheus' text format.
//
// Ownership:  owns the WorkerMetrics. What a source reads outlives the registry or its removal.
// Threading:  thread-safe; worker(i)'s writers are that worker's.
// Errors:     none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "gateway/base/mutex.h"
#include "gateway/metrics/labels.h"
#include "gateway/metrics/worker_metrics.h"

namespace gatehouse::metrics {

struct RegistryOptions {
  int workers = 1;
  uint16_t max_routes = 1000;  // labelled; further routes count as "other"
  uint16_t max_schemes = 100;
  std::string version;  // of the program, for gatehouse_build_info
};

enum class SourceType : uint8_t { kCounter, kGauge };

class Registry {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // REQUIRES: workers > 0, capacities > 0.
  explicit Registry(RegistryOptions options);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  WorkerMetrics& worker(int i) { return *workers_[static_cast<size_t>(i)]; }
  const WorkerMetrics& worker(int i) const { return *workers_[static_cast<size_t>(i)]; }
  LabelTable& routes() { return routes_; }
  LabelTable& schemes() { return schemes_; }

  // AddSource adds a series read at each scrape by calling `read` from the scraping thread; sources of one family
  // name share type and help of the first. Returns a ticket for RemoveSource.
  uint64_t AddSource(SourceType type, std::string family, std::string help, Labels labels,
                     absl::AnyInvocable<double() const> read);
  void RemoveSource(uint64_t ticket);

  // Scrape returns the exposition text, version 0.0.4.
  std::string Scrape() const;
  static constexpr char kContentType[] = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Source;

  const RegistryOptions options_;
  LabelTable routes_;
  LabelTable schemes_;
  std::vector<std::unique_ptr<WorkerMetrics>> workers_;
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<Source>> sources_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace gatehouse::metrics
