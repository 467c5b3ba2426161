// AccessService over gRPC: who the caller is, and the key of the store's secrets.
//
// Ownership:  store, ledger and executor outlive the service; the executor is destroyed after the server was shut down.
// Threading:  thread-safe.
#pragma once

#include "control/api/call_executor.h"
#include "control/api/guard.h"
#include "control/api/ledger.h"
#include "control/store/store.h"
#include "gatehouse/v1/access_service.grpc.pb.h"

namespace gatehouse::api {

class AccessService final : public v1::AccessService::CallbackService {
 public:
  AccessService(store::Store& store, CallExecutor& executor, Guard guard, Ledger& ledger)
      : store_(store), executor_(executor), guard_(std::move(guard)), ledger_(ledger) {}

  grpc::ServerUnaryReactor* WhoAmI(grpc::CallbackServerContext* context, const v1::WhoAmIRequest* request,
                                   v1::WhoAmIResponse* response) override;
  grpc::ServerWriteReactor<v1::RotateKeyResponse>* RotateKey(grpc::CallbackServerContext* context,
                                                             const v1::RotateKeyRequest* request) override;

 private:
  store::Store& store_;
  CallExecutor& executor_;
  const Guard guard_;
  Ledger& ledger_;
};

}  // namespace gatehouse::api
