#include "control/api/status_service.h"

#include <utility>

namespace gatehouse::api {

grpc::ServerUnaryReactor* StatusService::GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                                   v1::Status* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.StatusService/GetStatus");
  if (!caller.ok()) {
    reactor->Finish(ToGrpc(caller.status()));
    return reactor;
  }
  response->set_version(facts_.version);
  response->set_revision(distributor_.revision());
  response->set_incarnation(facts_.incarnation);
  response->mutable_start_time()->set_seconds(absl::ToUnixSeconds(facts_.started));
  for (v1::GatewayStatus& gateway : distributor_.Gateways()) *response->add_gateways() = std::move(gateway);
  const hub::HubStats stats = hub_.stats();
  response->set_events(stats.events);
  response->set_events_lost(stats.lost);
  response->set_watchers(stats.watchers);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace gatehouse::api
