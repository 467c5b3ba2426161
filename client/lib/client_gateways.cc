// The client's calls of GatewayService.
#include "client/lib/calls.h"
#include "client/lib/client.h"
#include "gateway/base/status.h"
#include "gatehouse/v1/gateway_service.grpc.pb.h"

namespace gatehouse::client {

absl::StatusOr<v1::CreateJoinTokenResponse> Client::CreateJoinToken(const v1::CreateJoinTokenRequest& request) {
  auto stub = v1::GatewayService::NewStub(channel_);
  v1::CreateJoinTokenResponse response;
  GH_RETURN_IF_ERROR(Change(options_.call_timeout, [&](auto& context) {
    return stub->CreateJoinToken(&context, request, &response);
  }));
  return response;
}

absl::StatusOr<v1::ListJoinTokensResponse> Client::ListJoinTokens() {
  auto stub = v1::GatewayService::NewStub(channel_);
  v1::ListJoinTokensResponse response;
  GH_RETURN_IF_ERROR(Retried(options_, [&](auto& context) {
    return stub->ListJoinTokens(&context, v1::ListJoinTokensRequest(), &response);
  }));
  return response;
}

absl::Status Client::DeleteJoinToken(const std::string& id) {
  auto stub = v1::GatewayService::NewStub(channel_);
  v1::DeleteJoinTokenRequest request;
  request.set_id(id);
  v1::DeleteJoinTokenResponse response;
  return Change(options_.call_timeout, [&](auto& context) { return stub->DeleteJoinToken(&context, request, &response); });
}

absl::Status Client::RemoveGateway(const std::string& name) {
  auto stub = v1::GatewayService::NewStub(channel_);
  v1::RemoveGatewayRequest request;
  request.set_gateway(name);
  v1::RemoveGatewayResponse response;
  return Change(options_.call_timeout, [&](auto& context) { return stub->RemoveGateway(&context, request, &response); });
}

}  // namespace gatehouse::client
