// CertificateService over gRPC: passes the question to a gateway through the desk.
//
// Ownership:  the desk outlives the service, and the service outlives its server.
// Threading:  thread-safe.
#pragma once

#include "control/api/guard.h"
#include "control/publish/explain_desk.h"
#include "gatehouse/v1/certificate_service.grpc.pb.h"

namespace gatehouse::api {

class CertificateService final : public v1::CertificateService::CallbackService {
 public:
  CertificateService(publish::ExplainDesk& desk, Guard guard) : desk_(desk), guard_(std::move(guard)) {}

  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context, const v1::ExplainRequest* request,
                                    v1::ExplainResponse* response) override;

 private:
  publish::ExplainDesk& desk_;
  const Guard guard_;
};

}  // namespace gatehouse::api
