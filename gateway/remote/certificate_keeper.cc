#include "gateway/remote/certificate_keeper.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "gateway/base/steady.h"

namespace gatehouse::remote {

CertificateKeeper::CertificateKeeper(Enrolment* enrolment, const Clock& clock, ChannelSource channels,
                                     std::function<void()> renewed, absl::Duration period)
    : enrolment_(enrolment), clock_(clock), channels_(std::move(channels)), renewed_(std::move(renewed)), period_(period),
      thread_([this] { Run(); }) {}

CertificateKeeper::~CertificateKeeper() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

void CertificateKeeper::Run() {
  for (;;) {
    {
      const SteadyTime until = SteadyAfter(period_);
      MutexLock lock(&mutex_);
      while (!stopping_ && SteadyNow() < until) changed_.WaitFor(&mutex_, Until(until));
      if (stopping_) return;
    }
    if (clock_.Now() < enrolment_->renew_at()) continue;
    const std::shared_ptr<grpc::Channel> channel = channels_();
    const absl::Status renewed =
        channel == nullptr ? absl::UnavailableError("no control plane is connected") : enrolment_->Renew(channel);
    if (!renewed.ok()) {
      spdlog::warn("the gateway's certificate, which expires at {}, is not renewed: {}",
                   absl::FormatTime(enrolment_->not_after(), absl::UTCTimeZone()), std::string(renewed.message()));
      continue;
    }
    spdlog::info("the gateway's certificate is renewed until {}", absl::FormatTime(enrolment_->not_after(), absl::UTCTimeZone()));
    renewed_();
  }
}

}  // namespace gatehouse::remote
