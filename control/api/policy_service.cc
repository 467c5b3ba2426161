#include "control/api/policy_service.h"

#include <string>

#include "control/api/call.h"
#include "control/api/try_policy.h"

namespace gatehouse::api {

grpc::ServerUnaryReactor* PolicyService::TestPolicy(grpc::CallbackServerContext* context,
                                                    const v1::TestPolicyRequest* request,
                                                    v1::TestPolicyResponse* response) {
  // The default reactor keeps request and response until it is finished, whether the caller is still there or not.
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.PolicyService/TestPolicy", request);
  if (!caller.ok()) {
    reactor->Finish(RespondStatus(caller.status()));
    return reactor;
  }
  executor_.Submit(*caller, [this, reactor, request, response](const absl::StatusOr<Caller>& now) {
    if (!now.ok()) return reactor->Finish(RespondStatus(now.status()));
    absl::StatusOr<v1::TestPolicyResponse> tried = TryPolicy(*changes_.Current(), *request, clock_.Now());
    const absl::Status status = tried.status();
    if (status.ok()) *response = *std::move(tried);
    reactor->Finish(RespondStatus(status));
  });
  return reactor;
}

}  // namespace gatehouse::api
