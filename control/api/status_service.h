// StatusService over gRPC: what the distributor and the hub know.
//
// Ownership:  distributor, hub and alarms outlive the service, and the service outlives its server.
// Threading:  thread-safe.
// Units:      at most kMostWatchers watches at once, of one caller a quarter; changes within kGather make one message.
// Errors:     WatchStatus: RESOURCE_EXHAUSTED (too many watchers).
#pragma once

#include <string>

#include "absl/time/time.h"
#include "control/api/guard.h"
#include "control/api/seats.h"
#include "control/events/hub.h"
#include "control/publish/alarms.h"
#include "control/publish/distributor.h"
#include "gatehouse/v1/status_service.grpc.pb.h"

namespace gatehouse::api {

class StatusService final : public v1::StatusService::CallbackService {
 public:
  static constexpr size_t kMostWatchers = 100;
  static constexpr absl::Duration kGather = absl::Milliseconds(20);
  static constexpr absl::Duration kPeriod = absl::Seconds(5);

  struct Facts {
    std::string version;
    std::string incarnation;  // the store's
    absl::Time started;
  };
  StatusService(Facts facts, publish::Distributor& distributor, const hub::Hub& hub, publish::Alarms& alarms, Guard guard)
      : facts_(std::move(facts)), distributor_(distributor), hub_(hub), alarms_(alarms), guard_(std::move(guard)) {}

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest* request,
                                      v1::Status* response) override;
  grpc::ServerWriteReactor<v1::Status>* WatchStatus(grpc::CallbackServerContext* context,
                                                    const v1::GetStatusRequest* request) override;

 private:
  class Watch;
  v1::Status Now() const;

  const Facts facts_;
  publish::Distributor& distributor_;
  const hub::Hub& hub_;
  publish::Alarms& alarms_;
  const Guard guard_;
  Seats seats_{"watchers of the status", kMostWatchers};
};

}  // namespace gatehouse::api
