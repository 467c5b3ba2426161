#include "gateway/server/upstreams.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::server {

// Where endpoints' changes go, and nowhere once the gateway ends: endpoints may outlive it.
class Upstreams::Line {
 public:
  Line(std::function<void(events::Event)> report, std::function<void(const std::string&)> refresh)
      : report_(std::move(report)), refresh_(std::move(refresh)) {}

  void Tell(const upstream::EndpointChange& change) {
    events::Event event;
    event.kind = events::EventKind::kUpstream;
    event.outcome = events::Outcome::kNotice;
    event.reason = change.in_service ? Reason::kNone : Reason::kUpstreamUnavailable;
    events::Facts& facts = event.Own();
    facts.upstream = std::make_shared<const events::UpstreamSummary>(events::UpstreamSummary{change.upstream, change.endpoint});
    facts.detail = absl::StrCat(change.in_service ? "back in service: " : "out of service: ", change.detail);
    MutexLock lock(&mutex_);
    facts.revision = revision_;
    if (report_) report_(std::move(event));
  }
  void Refresh(const std::string& upstream) {
    MutexLock lock(&mutex_);
    if (refresh_) refresh_(upstream);
  }
  void NoteRevision(uint64_t revision) {
    MutexLock lock(&mutex_);
    revision_ = revision;
  }
  void Cut() {
    MutexLock lock(&mutex_);
    report_ = nullptr;
    refresh_ = nullptr;
  }

 private:
  Mutex mutex_;
  std::function<void(events::Event)> report_ ABSL_GUARDED_BY(mutex_);
  std::function<void(const std::string&)> refresh_ ABSL_GUARDED_BY(mutex_);
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
};

upstream::ServiceSpec SpecOf(const config::Upstream& upstream, std::shared_ptr<const tls::ClientContext> tls) {
  upstream::ServiceSpec spec;
  upstream::UpstreamOptions& options = spec.options;
  options.name = upstream.name;
  options.balance = upstream.least_request ? upstream::Balance::kLeastRequest : upstream::Balance::kRoundRobin;
  options.ejection = {upstream.eject_after, upstream.eject_for, upstream.eject_percent};
  options.retries = {upstream.attempts, upstream.retry_idempotent, upstream.retry_budget_percent};
  options.connect_timeout = upstream.connect_timeout;
  options.response_timeout = upstream.response_timeout;
  options.stall_timeout = upstream.idle_timeout;
  options.max_connections = upstream.max_connections;
  options.max_pending = upstream.max_pending;
  options.max_requests = upstream.max_requests;
  options.http2 = upstream.http2;
  options.tls = std::move(tls);
  spec.endpoints = upstream.endpoints;
  spec.dns_refresh = upstream.dns_refresh;
  if (upstream.health_check.has_value()) {
    const config::HealthCheck& check = *upstream.health_check;
    spec.health_check = upstream::HealthCheckOptions{check.path,          check.host,            check.interval, check.timeout,
                                                     check.healthy_after, check.unhealthy_after, check.statuses, check.grpc_service};
  }
  return spec;
}

Upstreams::Upstreams(Options options)
    : registry_(options.registry), line_(std::make_shared<Line>(std::move(options.report), std::move(options.refresh))) {
  upstream::Directory::Options directory;
  directory.workers = options.workers;
  directory.clock = options.clock;
  directory.resolver = std::move(options.resolver);
  directory.on_change = [line = line_](const std::string& upstream) { line->Refresh(upstream); };
  directory.on_endpoint = [line = line_](const upstream::EndpointChange& change) { line->Tell(change); };
  directory_ = std::make_unique<upstream::Directory>(std::move(directory));
}

Upstreams::~Upstreams() { Stop(); }

void Upstreams::Stop() {
  line_->Cut();
  for (const auto& [name, tickets] : sources_) {
    for (uint64_t ticket : tickets) registry_->RemoveSource(ticket);
  }
  sources_.clear();
}

void Upstreams::Use(const config::Snapshot& snapshot, const UpstreamTlsContexts& tls) {
  line_->NoteRevision(snapshot.revision);
  std::vector<upstream::ServiceSpec> specs;
  for (const config::Upstream& upstream : snapshot.upstreams) specs.push_back(SpecOf(upstream, tls[upstream.index]));
  directory_->Use(std::move(specs));
  const std::map<std::string, upstream::Directory::Stats> all = directory_->AllStats();
  for (auto it = sources_.begin(); it != sources_.end();) {
    if (all.count(it->first) != 0) {
      ++it;
      continue;
    }
    for (uint64_t ticket : it->second) registry_->RemoveSource(ticket);
    it = sources_.erase(it);
  }
  for (const auto& [name, stats] : all) {
    if (sources_.size() < kMaxLabelled && sources_.count(name) == 0) AddMetrics(name, stats);
  }
}

void Upstreams::AddMetrics(const std::string& name, const upstream::Directory::Stats& stats) {
  using metrics::SourceType;
  using upstream::PoolStats;
  std::vector<uint64_t>& tickets = sources_[name];
  const auto add = [&](SourceType type, const char* family, const char* help, Counter PoolStats::*counter) {
    tickets.push_back(registry_->AddSource(type, family, help, {{"upstream", name}}, [stats, counter] {
      int64_t sum = 0;
      for (const std::shared_ptr<PoolStats>& one : stats) sum += ((*one).*counter).value();
      return static_cast<double>(sum);
    }));
  };
  add(SourceType::kCounter, "gatehouse_upstream_requests_total", "Requests for an upstream.", &PoolStats::requests);
  add(SourceType::kCounter, "gatehouse_upstream_failures_total",
      "Tries that failed at an endpoint: no connection, broken off, timed out, or 502 to 504.", &PoolStats::failures);
  add(SourceType::kCounter, "gatehouse_upstream_retries_total", "Requests sent to another endpoint after a failure.",
      &PoolStats::retries);
  add(SourceType::kCounter, "gatehouse_upstream_ejections_total", "How often a worker ejected an endpoint.",
      &PoolStats::ejections);
  add(SourceType::kCounter, "gatehouse_upstream_connects_total", "Connections that were attempted.", &PoolStats::connects);
  add(SourceType::kGauge, "gatehouse_upstream_connections", "Open connections.", &PoolStats::open_connections);
  add(SourceType::kGauge, "gatehouse_upstream_pending_requests", "Requests that wait for a connection or an address.",
      &PoolStats::pending);
  constexpr std::pair<upstream::EndpointState, const char*> kStates[] = {
      {upstream::EndpointState::kHealthy, "healthy"},
      {upstream::EndpointState::kUnhealthy, "unhealthy"},
      {upstream::EndpointState::kEjected, "ejected"},
      {upstream::EndpointState::kDraining, "draining"}};
  for (const auto& [state, word] : kStates) {
    tickets.push_back(registry_->AddSource(SourceType::kGauge, "gatehouse_upstream_endpoints", "Endpoints, by how they do.",
                                           {{"upstream", name}, {"state", word}},
                                           [directory = directory_.get(), name, state = state] {
                                             const auto counts = directory->Count(name);
                                             auto it = counts.find(state);
                                             return it == counts.end() ? 0.0 : static_cast<double>(it->second);
                                           }));
  }
}

}  // namespace gatehouse::server
