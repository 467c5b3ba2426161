// GatewayService over gRPC: who lets gateways in, and the gateways themselves.
//
// Ownership:  registry, distributor, executor and ledger outlive the service, and the service outlives its server.
// Threading:  thread-safe; what writes runs on the executor.
// Errors:     as the proto says; Join besides RESOURCE_EXHAUSTED for who tries too often.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/api/call_executor.h"
#include "control/api/gateway_registry.h"
#include "control/api/guard.h"
#include "control/api/ledger.h"
#include "control/publish/distributor.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/gateway_service.grpc.pb.h"

namespace gatehouse::api {

// Attempts bounds those of one address and of all together, a minute.
class Attempts {
 public:
  static constexpr int kOfOne = 10;
  static constexpr int kOfAll = 100;
  bool Take(const std::string& address, absl::Time now);

 private:
  Mutex mutex_;
  absl::Time minute_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int all_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, int> of_one_ ABSL_GUARDED_BY(mutex_);
};

class GatewayService final : public v1::GatewayService::CallbackService {
 public:
  struct Options {
    // The certificate by which a gateway will know the control API: the last that it presents. FAILED_PRECONDITION: it
    // does not listen where gateways can join.
    std::function<absl::StatusOr<Sha256Digest>()> anchor;
    std::function<void()> removed;  // judges open streams again, and then takes from the gateway what all of them share
  };
  GatewayService(GatewayRegistry& registry, publish::Distributor& distributor, CallExecutor& executor, const Clock& clock,
                 Guard guard, Ledger& ledger, Options options)
      : registry_(registry), distributor_(distributor), executor_(executor), clock_(clock), guard_(std::move(guard)),
        ledger_(ledger), options_(std::move(options)) {}

  grpc::ServerUnaryReactor* CreateJoinToken(grpc::CallbackServerContext* context, const v1::CreateJoinTokenRequest* request,
                                            v1::CreateJoinTokenResponse* response) override;
  grpc::ServerUnaryReactor* ListJoinTokens(grpc::CallbackServerContext* context, const v1::ListJoinTokensRequest* request,
                                           v1::ListJoinTokensResponse* response) override;
  grpc::ServerUnaryReactor* DeleteJoinToken(grpc::CallbackServerContext* context, const v1::DeleteJoinTokenRequest* request,
                                            v1::DeleteJoinTokenResponse* response) override;
  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context, const v1::JoinRequest* request,
                                 v1::JoinResponse* response) override;
  grpc::ServerUnaryReactor* RenewCertificate(grpc::CallbackServerContext* context,
                                             const v1::RenewCertificateRequest* request,
                                             v1::JoinResponse* response) override;
  grpc::ServerUnaryReactor* RemoveGateway(grpc::CallbackServerContext* context, const v1::RemoveGatewayRequest* request,
                                          v1::RemoveGatewayResponse* response) override;

 private:
  // Runs `work` for a caller who may.
  using Work = absl::AnyInvocable<absl::Status(const Caller& caller)>;
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context, const char* method,
                                const google::protobuf::MessageLite* request, Work work);

  GatewayRegistry& registry_;
  publish::Distributor& distributor_;
  CallExecutor& executor_;
  const Clock& clock_;
  const Guard guard_;
  Ledger& ledger_;
  const Options options_;
  Attempts attempts_;
};

}  // namespace gatehouse::api
