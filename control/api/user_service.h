// UserService over gRPC: single users, files of users, and renewed hashes.
//
// Ownership:  changes, renewals, ledger and executor outlive the service; the executor is destroyed after the server was shut
//             down.
// Threading:  thread-safe.
#pragma once

#include "control/api/call_executor.h"
#include "control/api/desk.h"
#include "control/api/exports.h"
#include "control/api/hash_renewals.h"
#include "gateway/base/clock.h"
#include "gatehouse/v1/user_service.grpc.pb.h"

namespace gatehouse::api {

class UserService final : public v1::UserService::CallbackService {
 public:
  // Octets of an imported file.
  static constexpr size_t kMaxImportBytes = size_t{64} * 1024 * 1024;

  UserService(Changes& changes, HashRenewals& renewals, CallExecutor& executor, Guard guard, Ledger& ledger,
              const Clock& clock)
      : changes_(changes),
        renewals_(renewals),
        executor_(executor),
        guard_(std::move(guard)),
        ledger_(ledger),
        clock_(clock) {}

  grpc::ServerUnaryReactor* GetUser(grpc::CallbackServerContext* context, const v1::GetUserRequest* request,
                                    v1::StoredUser* response) override;
  grpc::ServerUnaryReactor* ListUsers(grpc::CallbackServerContext* context, const v1::ListUsersRequest* request,
                                      v1::ListUsersResponse* response) override;
  grpc::ServerUnaryReactor* SetUser(grpc::CallbackServerContext* context, const v1::SetUserRequest* request,
                                    v1::UserChangeResponse* response) override;
  grpc::ServerUnaryReactor* DeleteUser(grpc::CallbackServerContext* context, const v1::DeleteUserRequest* request,
                                       v1::UserChangeResponse* response) override;
  grpc::ServerReadReactor<v1::ImportUsersRequest>* ImportUsers(grpc::CallbackServerContext* context,
                                                               v1::ImportUsersResponse* response) override;
  grpc::ServerWriteReactor<v1::ExportUsersResponse>* ExportUsers(grpc::CallbackServerContext* context,
                                                                 const v1::ExportUsersRequest* request) override;
  grpc::ServerUnaryReactor* RenewHash(grpc::CallbackServerContext* context, const v1::RenewHashRequest* request,
                                      v1::RenewHashResponse* response) override;

 private:
  Desk MakeDesk() const;

  Changes& changes_;
  HashRenewals& renewals_;
  CallExecutor& executor_;
  const Guard guard_;
  Ledger& ledger_;
  const Clock& clock_;
  Exports exports_;
};

}  // namespace gatehouse::api
