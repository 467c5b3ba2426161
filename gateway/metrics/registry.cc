#include "gateway/metrics/registry.h"

#include <algorithm>
#include <array>
#include <limits>
#include <sstream>

#include "prometheus/metric_family.h"
#include "prometheus/text_serializer.h"

namespace gatehouse::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

std::string ReasonLabel(size_t reason) {
  return reason == 0 ? "none" : std::string(ReasonName(static_cast<Reason>(reason)));
}

ClientMetric Series(MetricType type, double value, const Registry::Labels& labels = {}) {
  ClientMetric metric;
  for (const auto& [name, text] : labels) metric.label.push_back({name, text});
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return metric;
}

// Exposition collects families and sums over the workers.
class Exposition {
 public:
  explicit Exposition(const std::vector<std::unique_ptr<WorkerMetrics>>& workers) : workers_(workers) {}

  MetricFamily& Family(MetricType type, std::string name, std::string help) {
    families_.push_back({std::move(name), std::move(help), type, {}});
    return families_.back();
  }
  void Total(MetricType type, std::string name, std::string help, Counter WorkerMetrics::*member) {
    Family(type, std::move(name), std::move(help))
        .metric.push_back(Series(type, Sum([member](const WorkerMetrics& w) { return (w.*member).value(); })));
  }
  // One series per element of an array of counters; those that are zero are left out.
  template <size_t N, typename Label>
  void Each(std::string name, std::string help, const char* label_name,
            std::array<Counter, N> WorkerMetrics::*member, Label label) {
    MetricFamily& family = Family(MetricType::Counter, std::move(name), std::move(help));
    for (size_t i = 0; i < N; ++i) {
      double n = Sum([member, i](const WorkerMetrics& w) { return (w.*member)[i].value(); });
      if (n != 0) family.metric.push_back(Series(MetricType::Counter, n, {{label_name, label(i)}}));
    }
  }
  template <typename F>
  double Sum(F f) const {
    int64_t n = 0;
    for (const auto& worker : workers_) n += f(*worker);
    return static_cast<double>(n);
  }
  std::string Text() const {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families_);
    return out.str();
  }

 private:
  const std::vector<std::unique_ptr<WorkerMetrics>>& workers_;
  std::vector<MetricFamily> families_;
};

void AddRequests(const std::vector<std::string>& routes, Exposition* out) {
  constexpr MetricType kCounter = MetricType::Counter;
  out->Each("gatehouse_decisions_total", "Requests decided, by the reason of the refusal; none: allowed.", "reason",
            &WorkerMetrics::requests_by_reason, ReasonLabel);
  MetricFamily& family =
      out->Family(kCounter, "gatehouse_requests_total", "Requests by route and outcome; no route, or too many: other.");
  for (size_t i = 0; i < routes.size(); ++i) {
    auto route = static_cast<uint16_t>(i);
    double allowed = out->Sum([route](const WorkerMetrics& w) { return w.route_allowed(route); });
    double refused = out->Sum([route](const WorkerMetrics& w) { return w.route_refused(route); });
    if (allowed == 0 && refused == 0) continue;
    family.metric.push_back(Series(kCounter, allowed, {{"route", routes[i]}, {"outcome", "allowed"}}));
    family.metric.push_back(Series(kCounter, refused, {{"route", routes[i]}, {"outcome", "refused"}}));
  }
  out->Each("gatehouse_responses_total", "Responses by class of status; none: the request ended without one.", "class",
            &WorkerMetrics::responses_by_class,
            [](size_t i) { return i == 0 ? std::string("none") : std::to_string(i) + "xx"; });
}

void AddDurations(const std::vector<std::unique_ptr<WorkerMetrics>>& workers, Exposition* out) {
  Histogram::Sum sum;
  for (const auto& worker : workers) worker->request_duration.AddTo(&sum);
  ClientMetric metric;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < Histogram::kBuckets; ++i) {
    cumulative += static_cast<uint64_t>(sum.counts[i]);
    double bound = i < Histogram::kBoundsMicros.size() ? static_cast<double>(Histogram::kBoundsMicros[i]) / 1e6
                                                       : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({cumulative, bound});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = static_cast<double>(sum.micros) / 1e6;
  out->Family(MetricType::Histogram, "gatehouse_request_duration_seconds", "From request head to the end of the answer.")
      .metric.push_back(metric);
}

void AddSchemes(const std::vector<std::string>& schemes, Exposition* out) {
  static constexpr const char* kResults[] = {"no_result", "success", "failure"};
  MetricFamily& family = out->Family(MetricType::Counter, "gatehouse_scheme_results_total", "Answers of schemes.");
  for (size_t i = 0; i < schemes.size(); ++i) {
    for (size_t r = 0; r < kSchemeResultCount; ++r) {
      double n = out->Sum([i, r](const WorkerMetrics& w) {
        return w.scheme(static_cast<uint16_t>(i), static_cast<SchemeResult>(r));
      });
      if (n == 0) continue;
      family.metric.push_back(Series(MetricType::Counter, n, {{"scheme", schemes[i]}, {"result", kResults[r]}}));
    }
  }
}

void AddCaches(Exposition* out) {
  constexpr MetricType kCounter = MetricType::Counter;
  out->Total(kCounter, "gatehouse_verdict_cache_hits_total", "Certificates judged from memory.",
             &WorkerMetrics::verdict_cache_hits);
  out->Total(kCounter, "gatehouse_verdict_cache_misses_total", "Certificates judged by building a path.",
             &WorkerMetrics::verdict_cache_misses);
  out->Total(kCounter, "gatehouse_credential_cache_hits_total", "Passwords known from memory.",
             &WorkerMetrics::credential_cache_hits);
  out->Total(kCounter, "gatehouse_credential_cache_misses_total", "Passwords hashed.",
             &WorkerMetrics::credential_cache_misses);
}

void AddConnections(Exposition* out) {
  constexpr MetricType kCounter = MetricType::Counter;
  constexpr MetricType kGauge = MetricType::Gauge;
  out->Total(kCounter, "gatehouse_connections_total", "Connections accepted.", &WorkerMetrics::connections_accepted);
  out->Total(kGauge, "gatehouse_connections_open", "Connections open now.", &WorkerMetrics::connections_open);
  out->Total(kCounter, "gatehouse_connections_refused_total", "Connections closed at once, over a limit of connections.",
             &WorkerMetrics::connections_refused);
  out->Total(kCounter, "gatehouse_accept_pauses_total", "Times that accepting paused for want of descriptors or memory.",
             &WorkerMetrics::accept_pauses);
  out->Total(kCounter, "gatehouse_redirects_total", "Requests sent to HTTPS by listeners that only redirect.",
             &WorkerMetrics::redirects);
  MetricFamily& handshakes =
      out->Family(kCounter, "gatehouse_handshakes_total", "TLS handshakes completed, by kind.");
  handshakes.metric.push_back(Series(
      kCounter, out->Sum([](const WorkerMetrics& w) { return w.handshakes_full.value(); }), {{"kind", "full"}}));
  handshakes.metric.push_back(Series(
      kCounter, out->Sum([](const WorkerMetrics& w) { return w.handshakes_resumed.value(); }), {{"kind", "resumed"}}));
  out->Each("gatehouse_handshake_failures_total", "TLS handshakes that failed, by reason.", "reason",
            &WorkerMetrics::handshake_failures, ReasonLabel);
  out->Total(kGauge, "gatehouse_streams_open", "Requests running now.", &WorkerMetrics::streams_open);
  out->Total(kGauge, "gatehouse_websockets_open", "Upgraded requests running now.", &WorkerMetrics::websockets_open);
  out->Total(kCounter, "gatehouse_websockets_total", "Requests that became a WebSocket.", &WorkerMetrics::websockets_total);
  out->Total(kCounter, "gatehouse_streams_cut_total", "Running requests ended because trust was withdrawn.",
             &WorkerMetrics::streams_cut);
  out->Total(kCounter, "gatehouse_connections_cut_total", "Connections ended because trust was withdrawn.",
             &WorkerMetrics::connections_cut);
  out->Total(kCounter, "gatehouse_received_bytes_total", "Octets of request bodies.", &WorkerMetrics::received_bytes);
  out->Total(kCounter, "gatehouse_sent_bytes_total", "Octets of response bodies.", &WorkerMetrics::sent_bytes);
  out->Total(kCounter, "gatehouse_events_dropped_total", "Events lost because a ring was full.",
             &WorkerMetrics::events_dropped);
}

}  // namespace

struct Registry::Source {
  uint64_t ticket;
  SourceType type;
  std::string family;
  std::string help;
  Labels labels;
  absl::AnyInvocable<double() const> read;
};

Registry::Registry(RegistryOptions options)
    : options_(std::move(options)), routes_(options_.max_routes), schemes_(options_.max_schemes) {
  for (int i = 0; i < options_.workers; ++i) {
    workers_.push_back(std::make_unique<WorkerMetrics>(options_.max_routes, options_.max_schemes));
  }
}

Registry::~Registry() = default;

uint64_t Registry::AddSource(SourceType type, std::string family, std::string help, Labels labels,
                             absl::AnyInvocable<double() const> read) {
  MutexLock lock(&mutex_);
  uint64_t ticket = next_ticket_++;
  sources_.push_back(std::make_unique<Source>(
      Source{ticket, type, std::move(family), std::move(help), std::move(labels), std::move(read)}));
  return ticket;
}

void Registry::RemoveSource(uint64_t ticket) {
  MutexLock lock(&mutex_);
  sources_.erase(std::remove_if(sources_.begin(), sources_.end(),
                                [ticket](const auto& source) { return source->ticket == ticket; }),
                 sources_.end());
}

std::string Registry::Scrape() const {
  Exposition out(workers_);
  out.Family(MetricType::Gauge, "gatehouse_build_info", "Always 1; the program's version.")
      .metric.push_back(Series(MetricType::Gauge, 1, {{"version", options_.version}}));
  MetricFamily& revision = out.Family(MetricType::Gauge, "gatehouse_snapshot_revision",
                                      "Lowest revision that a worker decides under.");
  int64_t lowest = std::numeric_limits<int64_t>::max();
  for (const auto& worker : workers_) lowest = std::min(lowest, worker->snapshot_revision.value());
  revision.metric.push_back(Series(MetricType::Gauge, static_cast<double>(lowest)));

  AddConnections(&out);
  AddRequests(routes_.Names(), &out);
  AddDurations(workers_, &out);
  AddSchemes(schemes_.Names(), &out);
  AddCaches(&out);

  // Held during the reads, so that RemoveSource returns only when its source is not being read any more.
  MutexLock lock(&mutex_);
  std::vector<bool> done(sources_.size());
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (done[i]) continue;
    MetricType type = sources_[i]->type == SourceType::kCounter ? MetricType::Counter : MetricType::Gauge;
    MetricFamily& family = out.Family(type, sources_[i]->family, sources_[i]->help);
    for (size_t j = i; j < sources_.size(); ++j) {
      if (sources_[j]->family != sources_[i]->family) continue;
      done[j] = true;
      family.metric.push_back(Series(type, sources_[j]->read(), sources_[j]->labels));
    }
  }
  return out.Text();
}

}  // namespace gatehouse::metrics
