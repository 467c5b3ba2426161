#include "gateway/upstream/endpoint.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace gatehouse::upstream {

Endpoint::Endpoint(Options options)
    : options_(std::move(options)),
      text_(options_.address.ToString()),
      counts_(options_.workers),
      since_(Now()) {}

EndpointRef Endpoint::Of(const loop::Address& address) {
  return std::make_shared<Endpoint>(Options{.upstream = "", .configured = address.ToString(), .address = address});
}

std::string Endpoint::host() const {
  std::string host = options_.configured.substr(0, options_.configured.rfind(':'));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return host;
}

EndpointState Endpoint::StateLocked() const {
  if (draining_) return EndpointState::kDraining;
  if (!healthy()) return EndpointState::kUnhealthy;
  return ejected_by_ > 0 ? EndpointState::kEjected : EndpointState::kHealthy;
}

absl::Time Endpoint::Now() const { return options_.clock != nullptr ? options_.clock->Now() : absl::Now(); }

void Endpoint::Change(absl::FunctionRef<void()> change, const std::string& detail) {
  EndpointState before, after;
  MutexLock telling(&telling_);
  {
    MutexLock lock(&mutex_);
    before = StateLocked();
    change();
    after = StateLocked();
    if (before != after) since_ = Now();
  }
  const bool was = before == EndpointState::kHealthy, is = after == EndpointState::kHealthy;
  if (was == is || after == EndpointState::kDraining || !options_.on_change) return;
  options_.on_change({options_.upstream, text_, is, detail});
}

void Endpoint::SetHealthy(bool healthy, const std::string& detail) {
  Change(
      [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        healthy_.store(healthy, std::memory_order_relaxed);
        health_detail_ = detail;
      },
      detail);
}

void Endpoint::Eject(const std::string& detail) {
  Change(
      [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        ++ejected_by_;
        ejection_detail_ = detail;
      },
      detail);
}

void Endpoint::Return() {
  Change([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { --ejected_by_; }, "its rest is over");
}

void Endpoint::Drain() {
  MutexLock lock(&mutex_);  // nobody is told of it, nor waited for
  if (!std::exchange(draining_, true)) since_ = Now();
}

Endpoint::Report Endpoint::report() const {
  Report report;
  report.configured = options_.configured;
  report.address = text_;
  {
    MutexLock lock(&mutex_);
    report.state = StateLocked();
    report.since = since_;
    if (report.state == EndpointState::kUnhealthy) report.detail = health_detail_;
    if (report.state == EndpointState::kDraining) report.detail = "it is not in the configuration or in DNS any more";
    if (report.state == EndpointState::kEjected) {
      report.detail = ejected_by_ < counts_.size()
                          ? absl::StrCat("on ", ejected_by_, " of ", counts_.size(), " workers: ", ejection_detail_)
                          : ejection_detail_;
    }
  }
  for (const EndpointCounts& counts : counts_) {
    report.active += static_cast<uint64_t>(counts.active.value());
    report.requests += static_cast<uint64_t>(counts.requests.value());
    report.failures += static_cast<uint64_t>(counts.failures.value());
    report.connections += static_cast<uint64_t>(counts.connections.value());
  }
  return report;
}

bool Endpoint::busy() const {
  for (const EndpointCounts& counts : counts_) {
    if (counts.active.value() > 0 || counts.connections.value() > 0) return true;
  }
  return false;
}

}  // namespace gatehouse::upstream
