// ConfigService over gRPC: decodes, asks the guard, and lets an executor do what blocks.
//
// Ownership:  changes, ledger and executor outlive the service; the executor is destroyed after the server was shut down.
// Threading:  thread-safe.
#pragma once

#include "control/api/call_executor.h"
#include "control/api/changes.h"
#include "control/api/desk.h"
#include "control/api/exports.h"
#include "control/api/guard.h"
#include "control/api/resource_watchers.h"
#include "gatehouse/v1/config_service.grpc.pb.h"

namespace gatehouse::api {

class ConfigService final : public v1::ConfigService::CallbackService {
 public:
  // Octets of all messages of one Apply together.
  static constexpr size_t kMaxApplyBytes = size_t{256} * 1024 * 1024;

  ConfigService(Changes& changes, CallExecutor& executor, Guard guard, Ledger& ledger)
      : changes_(changes), executor_(executor), guard_(std::move(guard)), ledger_(ledger), watchers_(changes) {}

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const v1::GetRequest* request,
                                v1::Resource* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context, const v1::ListRequest* request,
                                 v1::ListResponse* response) override;
  grpc::ServerUnaryReactor* Create(grpc::CallbackServerContext* context, const v1::CreateRequest* request,
                                   v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* Update(grpc::CallbackServerContext* context, const v1::UpdateRequest* request,
                                   v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context, const v1::DeleteRequest* request,
                                   v1::ChangeResponse* response) override;
  grpc::ServerReadReactor<v1::ApplyRequest>* Apply(grpc::CallbackServerContext* context,
                                                   v1::ApplyResponse* response) override;
  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext* context, const v1::RollbackRequest* request,
                                     v1::ApplyResponse* response) override;
  grpc::ServerUnaryReactor* History(grpc::CallbackServerContext* context, const v1::HistoryRequest* request,
                                    v1::HistoryResponse* response) override;
  grpc::ServerWriteReactor<v1::ExportResponse>* Export(grpc::CallbackServerContext* context,
                                                       const v1::ExportRequest* request) override;
  grpc::ServerUnaryReactor* Compare(grpc::CallbackServerContext* context, const v1::CompareRequest* request,
                                    v1::CompareResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchResourcesResponse>* WatchResources(
      grpc::CallbackServerContext* context, const v1::WatchResourcesRequest* request) override;

 private:
  Desk desk() { return {kService, changes_, executor_, guard_, ledger_}; }

  static constexpr char kService[] = "/gatehouse.v1.ConfigService/";
  Changes& changes_;
  CallExecutor& executor_;
  const Guard guard_;
  Ledger& ledger_;
  ResourceWatchers watchers_;
  Exports exports_;
};

}  // namespace gatehouse::api
