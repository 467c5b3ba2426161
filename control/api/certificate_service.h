// CertificateService over gRPC: passes questions to gateways through the desk, and puts their answers together.
//
// Ownership:  desk, hub and executor outlive the service, and the service outlives its server.
// Threading:  thread-safe. Events are looked for on the executor.
#pragma once

#include "control/api/call_executor.h"
#include "control/api/guard.h"
#include "control/events/hub.h"
#include "control/publish/question_desk.h"
#include "gatehouse/v1/certificate_service.grpc.pb.h"

namespace gatehouse::api {

class CertificateService final : public v1::CertificateService::CallbackService {
 public:
  static constexpr size_t kMaxChainBytes = 1024 * 1024;

  CertificateService(publish::QuestionDesk& desk, hub::Hub& hub, CallExecutor& executor, Guard guard)
      : desk_(desk), hub_(hub), executor_(executor), guard_(std::move(guard)) {}

  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context, const v1::ExplainRequest* request,
                                    v1::ExplainResponse* response) override;
  grpc::ServerUnaryReactor* ListTrust(grpc::CallbackServerContext* context, const v1::ListTrustRequest* request,
                                      v1::ListTrustResponse* response) override;

 private:
  publish::QuestionDesk& desk_;
  hub::Hub& hub_;
  CallExecutor& executor_;
  const Guard guard_;
};

}  // namespace gatehouse::api
