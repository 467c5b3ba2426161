#include "control/api/upstream_service.h"

#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "control/api/ask.h"

namespace gatehouse::api {

absl::StatusOr<std::string> UpstreamService::Whom(const std::string& wanted) const {
  if (!wanted.empty()) return wanted;
  const std::set<std::string> connected = desk_.Gateways();
  if (connected.empty()) return absl::UnavailableError("no gateway is connected");
  if (connected.count(embedded_) != 0) return embedded_;
  if (connected.size() == 1) return *connected.begin();
  return absl::InvalidArgumentError(
      absl::StrCat("gateway: ", connected.size(), " are connected, say which one is meant"));
}

grpc::ServerUnaryReactor* UpstreamService::ListEndpoints(grpc::CallbackServerContext* context,
                                                         const v1::ListEndpointsRequest* request,
                                                         v1::ListEndpointsResponse* response) {
  using Reactor = AskReactor<v1::ListEndpointsResponse>;
  auto* reactor = new Reactor(response);
  const std::shared_ptr<Reactor::Slot> slot = reactor->slot();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.UpstreamService/ListEndpoints", request);
  const absl::StatusOr<std::string> gateway = caller.ok() ? Whom(request->gateway()) : caller.status();
  if (!gateway.ok()) {
    Reactor::End(*slot, gateway.status());
    return reactor;
  }
  v1::Question question;
  *question.mutable_list_endpoints() = *request;
  desk_.Ask(*gateway, std::move(question), TimeLeft(*context),
            [slot](const std::string&, absl::StatusOr<v1::Answer> answer) {
              if (!answer.ok()) return Reactor::End(*slot, answer.status());
              Reactor::End(*slot, std::move(*answer->mutable_list_endpoints()));
            });
  return reactor;
}

}  // namespace gatehouse::api
