// LockoutService over gRPC: asks the gateways through the desk, and puts their answers together.
//
// Ownership:  desk, executor and ledger outlive the service, and the service outlives its server.
// Threading:  thread-safe.
#pragma once

#include "control/api/call_executor.h"
#include "control/api/guard.h"
#include "control/api/ledger.h"
#include "control/publish/question_desk.h"
#include "gatehouse/v1/lockout_service.grpc.pb.h"

namespace gatehouse::api {

class LockoutService final : public v1::LockoutService::CallbackService {
 public:
  LockoutService(publish::QuestionDesk& desk, CallExecutor& executor, Guard guard, Ledger& ledger)
      : desk_(desk), executor_(executor), guard_(std::move(guard)), ledger_(ledger) {}

  grpc::ServerUnaryReactor* ListLockouts(grpc::CallbackServerContext* context,
                                         const v1::ListLockoutsRequest* request,
                                         v1::ListLockoutsResponse* response) override;
  grpc::ServerUnaryReactor* ClearLockouts(grpc::CallbackServerContext* context,
                                          const v1::ClearLockoutsRequest* request,
                                          v1::ClearLockoutsResponse* response) override;

 private:
  publish::QuestionDesk& desk_;
  CallExecutor& executor_;
  const Guard guard_;
  Ledger& ledger_;
};

}  // namespace gatehouse::api
