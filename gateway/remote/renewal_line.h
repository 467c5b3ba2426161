// RenewalLine takes passwords that a login has just verified to the control plane, which makes new hashes of them
// (UserService.RenewHash). What does not get through is forgotten: a later login offers it again.
//
// Ownership:  owns what waits. The channel source outlives it.
// Threading:  Send from any thread, never blocks; one thread of its own sends, one offer after the other.
// Units:      at most kMostWaiting offers wait; each call has kDeadline.
// Errors:     logged once a minute at most.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "gateway/base/executor.h"
#include "gateway/base/steady.h"
#include "gateway/credentials/hash_renewal.h"

namespace gatehouse::remote {

class RenewalLine {
 public:
  static constexpr size_t kMostWaiting = 64;
  static constexpr absl::Duration kDeadline = absl::Seconds(2);
  // A connected channel to a control plane, or null.
  using ChannelSource = std::function<std::shared_ptr<grpc::Channel>()>;

  explicit RenewalLine(ChannelSource channels) : channels_(std::move(channels)), executor_(1, kMostWaiting) {}

  // False: too many wait.
  bool Send(credentials::RenewalOffer offer);

 private:
  void Deliver(const credentials::RenewalOffer& offer);

  const ChannelSource channels_;
  SteadyTime quiet_until_ = SteadyTime::min();  // the executor's thread's own
  Executor executor_;  // last: its thread uses what is above
};

}  // namespace gatehouse::remote
