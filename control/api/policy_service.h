// PolicyService over gRPC: tries policies out on the stored configuration.
//
// Ownership:  changes, executor and clock outlive the service, and the service outlives its server.
// Threading:  thread-safe. Policies are compiled on the executor.
#pragma once

#include <utility>

#include "control/api/call_executor.h"
#include "control/api/changes.h"
#include "control/api/guard.h"
#include "gateway/base/clock.h"
#include "gatehouse/v1/policy_service.grpc.pb.h"

namespace gatehouse::api {

class PolicyService final : public v1::PolicyService::CallbackService {
 public:
  PolicyService(Changes& changes, CallExecutor& executor, const Clock& clock, Guard guard)
      : changes_(changes), executor_(executor), clock_(clock), guard_(std::move(guard)) {}

  grpc::ServerUnaryReactor* TestPolicy(grpc::CallbackServerContext* context, const v1::TestPolicyRequest* request,
                                       v1::TestPolicyResponse* response) override;

 private:
  Changes& changes_;
  CallExecutor& executor_;
  const Clock& clock_;
  const Guard guard_;
};

}  // namespace gatehouse::api
