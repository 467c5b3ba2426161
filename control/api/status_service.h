// StatusService over gRPC: what the distributor and the hub know.
//
// Ownership:  distributor and hub outlive the service, and the service outlives its server.
// Threading:  thread-safe.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "control/api/guard.h"
#include "control/events/hub.h"
#include "control/publish/distributor.h"
#include "gatehouse/v1/status_service.grpc.pb.h"

namespace gatehouse::api {

class StatusService final : public v1::StatusService::CallbackService {
 public:
  struct Facts {
    std::string version;
    std::string incarnation;  // the store's
    absl::Time started;
  };
  StatusService(Facts facts, const publish::Distributor& distributor, const hub::Hub& hub, Guard guard)
      : facts_(std::move(facts)), distributor_(distributor), hub_(hub), guard_(std::move(guard)) {}

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest* request,
                                      v1::Status* response) override;

 private:
  const Facts facts_;
  const publish::Distributor& distributor_;
  const hub::Hub& hub_;
  const Guard guard_;
};

}  // namespace gatehouse::api
