// CertificateKeeper renews a gateway's certificate at two thirds of its lifetime, and then has the stream opened anew under it.
//
// Ownership:  enrolment and clock outlive it.
// Threading:  one thread of its own, which is the only one that uses the enrolment meanwhile.
// Errors:     logged; it tries again after a period, for as long as the certificate is good.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/remote/enrolment.h"

namespace gatehouse::remote {

class CertificateKeeper {
 public:
  // A connected channel to a control plane, or null.
  using ChannelSource = std::function<std::shared_ptr<grpc::Channel>()>;

  // Looks at the clock every `period`.
  CertificateKeeper(Enrolment* enrolment, const Clock& clock, ChannelSource channels, std::function<void()> renewed,
                    absl::Duration period = absl::Minutes(1));
  ~CertificateKeeper();

 private:
  void Run();

  Enrolment* const enrolment_;
  const Clock& clock_;
  const ChannelSource channels_;
  const std::function<void()> renewed_;
  const absl::Duration period_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace gatehouse::remote
