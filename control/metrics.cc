#include "control/metrics.h"

#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "prometheus/metric_family.h"
#include "prometheus/text_serializer.h"

namespace gatehouse {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  // The series of the family that was added last.
  Families& Add(MetricType type, const char* name, const char* help) {
    families_.push_back({std::string("gatehouse_control_") + name, help, type, {}});
    return *this;
  }
  Families& Series(double value, std::vector<ClientMetric::Label> labels = {}) {
    ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    (families_.back().type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    return *this;
  }
  std::string Text() const {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families_);
    return out.str();
  }

 private:
  std::vector<MetricFamily> families_;
};

double Of(uint64_t n) { return static_cast<double>(n); }

}  // namespace

std::string ControlMetrics(absl::string_view version, const publish::Distributor& distributor, const hub::Hub& hub,
                           const events::JsonLog* log) {
  constexpr MetricType kCounter = MetricType::Counter;
  constexpr MetricType kGauge = MetricType::Gauge;
  const uint64_t revision = distributor.revision();
  const std::vector<v1::GatewayStatus> gateways = distributor.Gateways();
  const hub::HubStats events = hub.stats();
  uint64_t connected = 0;
  uint64_t behind = 0;
  for (const v1::GatewayStatus& gateway : gateways) {
    connected += gateway.connected();
    behind += gateway.connected() && gateway.acknowledged_revision() < revision;
  }

  Families out;
  out.Add(kGauge, "build_info", "Always 1; the program's version.").Series(1, {{"version", std::string(version)}});
  out.Add(kGauge, "revision", "Newest revision of the configuration.").Series(Of(revision));
  out.Add(kGauge, "gateways", "Known gateways, by whether they are connected.")
      .Series(Of(connected), {{"connected", "true"}})
      .Series(Of(gateways.size() - connected), {{"connected", "false"}});
  out.Add(kGauge, "gateways_behind", "Connected gateways that do not have the newest revision in force.").Series(Of(behind));
  out.Add(kGauge, "gateway_revision", "Revision that a gateway has in force.");
  for (const v1::GatewayStatus& gateway : gateways) {
    out.Series(Of(gateway.acknowledged_revision()), {{"gateway", gateway.name()}});
  }
  out.Add(kCounter, "events_total", "Events that reached the hub.").Series(Of(events.events));
  out.Add(kCounter, "events_lost_total", "Events that gateways lost before they reached the hub.").Series(Of(events.lost));
  out.Add(kGauge, "watchers", "Open event streams.").Series(events.watchers);
  out.Add(kGauge, "watcher_lag_events", "Events that the slowest watcher has still to look at.").Series(Of(events.behind));
  out.Add(kCounter, "watcher_missed_events_total", "Events that watchers never saw because they were too slow.")
      .Series(Of(events.missed));
  if (const std::optional<v1::ArchiveStatus> archive = hub.archive()) {
    out.Add(kGauge, "event_archive_events", "Events in the archive.").Series(Of(archive->events()));
    out.Add(kGauge, "event_archive_bytes", "Octets of the archive on disk.").Series(Of(archive->bytes()));
    out.Add(kCounter, "event_archive_lost_total", "Events that the archive could not take.").Series(Of(archive->lost()));
    out.Add(kGauge, "event_archive_failing", "1 while the archive cannot be written.").Series(archive->error().empty() ? 0 : 1);
  }
  return out.Text() + (log == nullptr ? std::string() : log->MetricsText());
}

}  // namespace gatehouse
