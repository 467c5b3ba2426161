#include "gateway/remote/certificate_keeper.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>

namespace gatehouse::remote {
namespace {

constexpr absl::Duration kPeriod = absl::Minutes(1);

}  // namespace

CertificateKeeper::CertificateKeeper(Enrolment* enrolment, const Clock& clock, ChannelSource channels,
                                     std::function<void()> renewed)
    : enrolment_(enrolment), clock_(clock), channels_(std::move(channels)), renewed_(std::move(renewed)),
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
      const absl::Time until = absl::Now() + kPeriod;
      MutexLock lock(&mutex_);
      while (!stopping_ && absl::Now() < until) changed_.WaitFor(&mutex_, until - absl::Now());
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
