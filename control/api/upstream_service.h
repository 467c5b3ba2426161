// UpstreamService over gRPC: asks one gateway through the desk how the services behind it do.
//
// Ownership:  the desk outlives the service, and the service outlives its server.
// Threading:  thread-safe.
#pragma once

#include <string>
#include <utility>

#include "control/api/guard.h"
#include "control/publish/question_desk.h"
#include "gatehouse/v1/upstream_service.grpc.pb.h"

namespace gatehouse::api {

class UpstreamService final : public v1::UpstreamService::CallbackService {
 public:
  // `embedded`: name of the gateway in this process, which is asked by default when it is connected.
  UpstreamService(publish::QuestionDesk& desk, std::string embedded, Guard guard)
      : desk_(desk), embedded_(std::move(embedded)), guard_(std::move(guard)) {}

  grpc::ServerUnaryReactor* ListEndpoints(grpc::CallbackServerContext* context, const v1::ListEndpointsRequest* request,
                                          v1::ListEndpointsResponse* response) override;

 private:
  absl::StatusOr<std::string> Whom(const std::string& wanted) const;

  publish::QuestionDesk& desk_;
  const std::string embedded_;
  const Guard guard_;
};

}  // namespace gatehouse::api
