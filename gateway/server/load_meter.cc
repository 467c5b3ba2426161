#include "gateway/server/load_meter.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

namespace gatehouse::server {
namespace {

double CpuSeconds() {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return statm ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

LoadMeter::LoadMeter(const Gateway& gateway)
    : gateway_(gateway), measured_(std::chrono::steady_clock::now()), requests_(gateway.counts().requests),
      cpu_seconds_(CpuSeconds()) {}

v1::GatewayLoad LoadMeter::Measure() {
  const auto now = std::chrono::steady_clock::now();
  const Counts counts = gateway_.counts();
  const double cpu = CpuSeconds();
  const double passed = std::chrono::duration<double>(now - measured_).count();
  v1::GatewayLoad load;
  load.set_connections(counts.connections);
  load.set_active_requests(counts.active_requests);
  if (passed > 0) {
    load.set_requests_per_second(static_cast<double>(counts.requests - requests_) / passed);
    load.set_cpu((cpu - cpu_seconds_) / passed);
  }
  load.set_resident_bytes(ResidentBytes());
  load.set_workers(counts.workers);
  load.set_events_lost(counts.events_lost);
  load.set_draining(counts.draining);
  const absl::Duration age = std::min(gateway_.snapshot_age(), absl::Hours(24 * 36'500));
  load.mutable_snapshot_age()->set_seconds(absl::ToInt64Seconds(age));
  load.mutable_snapshot_age()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(age - absl::Seconds(absl::ToInt64Seconds(age)))));
  measured_ = now;
  requests_ = counts.requests;
  cpu_seconds_ = cpu;
  return load;
}

}  // namespace gatehouse::server
