// SnapshotService over gRPC: one reactor a gateway around publish::GatewayStream.
//
// Ownership:  distributor, desk and ring outlive the service, and the service outlives its server.
// Threading:  thread-safe.
#pragma once

#include "control/api/guard.h"
#include "control/publish/gateway_stream.h"
#include "gatehouse/v1/snapshot_service.grpc.pb.h"

namespace gatehouse::api {

class SnapshotService final : public v1::SnapshotService::CallbackService {
 public:
  SnapshotService(publish::Distributor& distributor, publish::QuestionDesk& desk, publish::TicketKeyRing& ticket_keys,
                  Guard guard)
      : distributor_(distributor), desk_(desk), ticket_keys_(ticket_keys), guard_(std::move(guard)) {}

  grpc::ServerBidiReactor<v1::SubscribeRequest, v1::SubscribeResponse>* Subscribe(
      grpc::CallbackServerContext* context) override;

 private:
  publish::Distributor& distributor_;
  publish::QuestionDesk& desk_;
  publish::TicketKeyRing& ticket_keys_;
  const Guard guard_;
};

}  // namespace gatehouse::api
