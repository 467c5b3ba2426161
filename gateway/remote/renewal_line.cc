#include "gateway/remote/renewal_line.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <string>
#include <utility>

#include "gatehouse/v1/user_service.grpc.pb.h"

namespace gatehouse::remote {

bool RenewalLine::Send(credentials::RenewalOffer offer) {
  return executor_.Submit([this, offer = std::move(offer)] { Deliver(offer); });
}

void RenewalLine::Deliver(const credentials::RenewalOffer& offer) {
  const std::shared_ptr<grpc::Channel> channel = channels_();
  if (channel == nullptr) return;
  v1::RenewHashRequest request;
  request.set_user_store(offer.user_store);
  request.set_user(offer.user);
  request.set_password(std::string(offer.password.Reveal()));
  v1::RenewHashResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kDeadline));
  const grpc::Status status = v1::UserService::NewStub(channel)->RenewHash(&context, request, &response);
  Secret wiped(std::move(*request.mutable_password()));
  if (status.ok() || SteadyNow() < quiet_until_) return;
  quiet_until_ = SteadyAfter(absl::Minutes(1));
  spdlog::warn("the control plane does not take passwords whose hashes are to be renewed: {}", status.error_message());
}

}  // namespace gatehouse::remote
