// LockoutService over gRPC: asks the gateways through the desk, and puts their answers together.
//
// Ownership:  the desk outlives the service, and the service outlives its server.
// Threading:  thread-safe.
#pragma once

#include <functional>

#include "control/api/guard.h"
#include "control/publish/question_desk.h"
#include "gatehouse/v1/event.pb.h"
#include "gatehouse/v1/lockout_service.grpc.pb.h"

namespace gatehouse::api {

class LockoutService final : public v1::LockoutService::CallbackService {
 public:
  // Hears of every clearing (type AUDIT). Must be quick.
  using Audit = std::function<void(v1::Event)>;

  LockoutService(publish::QuestionDesk& desk, Guard guard, Audit audit)
      : desk_(desk), guard_(std::move(guard)), audit_(std::move(audit)) {}

  grpc::ServerUnaryReactor* ListLockouts(grpc::CallbackServerContext* context,
                                         const v1::ListLockoutsRequest* request,
                                         v1::ListLockoutsResponse* response) override;
  grpc::ServerUnaryReactor* ClearLockouts(grpc::CallbackServerContext* context,
                                          const v1::ClearLockoutsRequest* request,
                                          v1::ClearLockoutsResponse* response) override;

 private:
  publish::QuestionDesk& desk_;
  const Guard guard_;
  const Audit audit_;
};

}  // namespace gatehouse::api
