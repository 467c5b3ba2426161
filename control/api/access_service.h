// AccessService over gRPC: who the caller is, and the key of the store's secrets.
//
// Ownership:  store and executor outlive the service; the executor is destroyed after the server was shut down.
// Threading:  thread-safe.
#pragma once

#include "control/api/audit.h"
#include "control/api/guard.h"
#include "control/store/store.h"
#include "gateway/base/executor.h"
#include "gatehouse/v1/access_service.grpc.pb.h"

namespace gatehouse::api {

class AccessService final : public v1::AccessService::CallbackService {
 public:
  AccessService(store::Store& store, Executor& executor, Guard guard, Audit audit)
      : store_(store), executor_(executor), guard_(std::move(guard)), audit_(std::move(audit)) {}

  grpc::ServerUnaryReactor* WhoAmI(grpc::CallbackServerContext* context, const v1::WhoAmIRequest* request,
                                   v1::WhoAmIResponse* response) override;
  grpc::ServerWriteReactor<v1::RotateKeyResponse>* RotateKey(grpc::CallbackServerContext* context,
                                                             const v1::RotateKeyRequest* request) override;

 private:
  store::Store& store_;
  Executor& executor_;
  const Guard guard_;
  const Audit audit_;
};

}  // namespace gatehouse::api
