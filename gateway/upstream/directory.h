// Directory knows where the upstreams of a gateway are and how their endpoints do: it asks DNS for names, asks endpoints
// whether they are well, and keeps one Endpoint an address for all workers. Workers take what it knows when a configuration
// or an address changes; a request never asks it.
//
//   Use(specs) --> names asked, every dns_refresh --> endpoints --> on_change(upstream) --> For(upstream, worker)
//
// While DNS does not answer, the addresses known stay. An endpoint whose address goes drains: its requests end.
//
// Ownership:  owns a thread and, once there are names, a small executor for DNS. Endpoints are shared with the workers.
// Threading:  thread-safe. Callbacks come from its own thread or from a worker's, and may call For; not Use.
// Errors:     none; what cannot be found or is not well is told by on_endpoint and List.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/base/clock.h"
#include "gateway/base/executor.h"
#include "gateway/base/mutex.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/endpoint.h"
#include "gateway/upstream/health_checker.h"
#include "gateway/upstream/options.h"
#include "gateway/upstream/resolver.h"

namespace gatehouse::upstream {

// What a configuration says of one upstream.
struct ServiceSpec {
  UpstreamOptions options;             // endpoints, resolving, worker and stats are the directory's to set
  std::vector<std::string> endpoints;  // `ip:port`, `[v6]:port`, `name:port`
  absl::Duration dns_refresh = absl::Seconds(30);
  std::optional<HealthCheckOptions> health_check;
};

class Directory {
 public:
  struct Options {
    size_t workers = 1;
    const Clock* clock = nullptr;        // outlives the directory; null: the system's
    std::unique_ptr<Resolver> resolver;  // null: the system's
    // The addresses of an upstream changed: workers look again.
    std::function<void(const std::string& upstream)> on_change;
    Endpoint::OnChange on_endpoint;
  };
  explicit Directory(Options options);
  ~Directory();

  // Use takes the upstreams of a configuration; endpoints that stay keep their state.
  void Use(std::vector<ServiceSpec> specs);
  // What a worker's pool is to obey now; nullopt: there is no such upstream.
  std::optional<UpstreamOptions> For(const std::string& upstream, size_t worker) const;

  struct Listed {
    std::string upstream;
    Endpoint::Report endpoint;
  };
  // In order of upstream and address. `upstream` empty: all.
  std::vector<Listed> List(const std::string& upstream) const;
  // Endpoints by state, for the metrics; a name without an address counts as unhealthy.
  std::map<EndpointState, size_t> Count(const std::string& upstream) const;
  using Stats = std::vector<std::shared_ptr<PoolStats>>;  // by worker
  std::map<std::string, Stats> AllStats() const;

 private:
  struct Name {
    bool literal = false;
    bool answered = false;
    std::vector<loop::Address> addresses;
    std::string problem;  // why there are none
    absl::Time since;
  };
  struct Service {
    ServiceSpec spec;
    std::map<std::string, Name> names;  // by what is configured
    std::vector<EndpointRef> endpoints;
    Stats stats;
  };
  using NameKey = std::pair<std::string, std::string>;  // upstream, what is configured

  // What the thread's objects are made from, copied out of the lock.
  struct Wanted {
    struct Question {
      absl::Duration refresh;
      bool answered = false;  // since it is configured
    };
    std::map<NameKey, Question> names;
    struct Check {
      EndpointRef endpoint;
      HealthCheckOptions options;
      UpstreamOptions connect;
    };
    std::vector<Check> checks;
    std::vector<EndpointRef> unchecked;
  };

  bool Rebuild(Service* service) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Time Now() const;

  // On the thread.
  void Sync();
  void AskFor(const NameKey& key);
  // `silent`: it was counted in silent_.
  void OnAnswer(const NameKey& key, bool silent, const absl::StatusOr<std::vector<loop::Address>>& answer);

  const Options options_;
  const std::unique_ptr<Resolver> resolver_;
  loop::Loop loop_;
  mutable Mutex mutex_;
  std::map<std::string, Service> services_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, EndpointRef>> leaving_ ABSL_GUARDED_BY(mutex_);
  // The thread's.
  struct Asking {
    std::unique_ptr<loop::Timer> timer;
    absl::Duration refresh;
    bool under_way = false;
    bool silent = false;  // the last question got no answer
  };
  std::map<NameKey, Asking> asking_;
  int silent_ = 0;  // questions under way about silent names
  std::map<const Endpoint*, std::unique_ptr<HealthChecker>> checkers_;
  std::unique_ptr<Executor> executor_;
  std::thread thread_;
};

}  // namespace gatehouse::upstream
