#include "control/api/gateway_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "control/api/deed.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/credentials/throttle.h"

namespace gatehouse::api {
namespace {

constexpr char kService[] = "GatewayService/";

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(time.seconds()), absl::UTCTimeZone());
}

}  // namespace

bool Attempts::Take(const std::string& address, absl::Time now) {
  MutexLock lock(&mutex_);
  if (now < minute_ || now >= minute_ + absl::Minutes(1)) {
    minute_ = now;
    all_ = 0;
    of_one_.clear();
  }
  // What one address is refused takes nothing from the others.
  if (all_ >= kOfAll || ++of_one_[address] > kOfOne) return false;
  ++all_;
  return true;
}

grpc::ServerUnaryReactor* GatewayService::Run(grpc::CallbackServerContext* context, const char* method,
                                              const google::protobuf::MessageLite* request, Work work) {
  // The default reactor keeps request and response until it is finished, whether the caller is still there or not.
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = guard_(*context, absl::StrCat("/gatehouse.v1.", kService, method), request);
  if (!caller.ok()) {
    reactor->Finish(ToGrpc(caller.status()));
    return reactor;
  }
  executor_.Submit(*caller, [reactor, work = std::move(work)](absl::StatusOr<Caller> now) mutable {
    reactor->Finish(ToGrpc(now.ok() ? work(*now) : now.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* GatewayService::CreateJoinToken(grpc::CallbackServerContext* context,
                                                          const v1::CreateJoinTokenRequest* request,
                                                          v1::CreateJoinTokenResponse* response) {
  return Run(context, "CreateJoinToken", request, [this, request, response](const Caller& caller) -> absl::Status {
    GH_ASSIGN_OR_RETURN(const Sha256Digest anchor, options_.anchor());
    GH_RETURN_IF_ERROR(Begin(caller));
    GH_ASSIGN_OR_RETURN(v1::CreateJoinTokenResponse made, registry_.CreateToken(*request, anchor, caller.name));
    const v1::JoinToken& info = made.info();
    // A token that no history tells of is not given away.
    GH_RETURN_IF_ERROR(ledger_.Append(
        caller, {absl::StrCat(kService, "CreateJoinToken"),
                 {absl::StrCat("join token ", info.id(), " for ", info.gateway().empty() ? "any new name" : info.gateway(),
                               ", good until ", TimeText(info.expires()))}}));
    *response = std::move(made);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* GatewayService::ListJoinTokens(grpc::CallbackServerContext* context,
                                                         const v1::ListJoinTokensRequest* request,
                                                         v1::ListJoinTokensResponse* response) {
  return Run(context, "ListJoinTokens", request, [this, response](const Caller&) {
    for (v1::JoinToken& token : registry_.Tokens()) *response->add_tokens() = std::move(token);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* GatewayService::DeleteJoinToken(grpc::CallbackServerContext* context,
                                                          const v1::DeleteJoinTokenRequest* request,
                                                          v1::DeleteJoinTokenResponse*) {
  return Run(context, "DeleteJoinToken", request, [this, request](const Caller& caller) -> absl::Status {
    GH_RETURN_IF_ERROR(Begin(caller));
    GH_RETURN_IF_ERROR(registry_.DeleteToken(request->id()));
    return ledger_.Append(caller, {absl::StrCat(kService, "DeleteJoinToken"), {absl::StrCat("join token ", request->id(), " deleted")}});
  });
}

grpc::ServerUnaryReactor* GatewayService::Join(grpc::CallbackServerContext* context, const v1::JoinRequest* request,
                                               v1::JoinResponse* response) {
  return Run(context, "Join", request, [this, request, response](const Caller& caller) -> absl::Status {
    const std::string method = absl::StrCat(kService, "Join");
    const std::string name = EscapeText(absl::string_view(request->gateway()).substr(0, 63));
    const auto refuse = [&](const absl::Status& status, absl::string_view why) {
      ledger_.Refused(caller, method, absl::Status(status.code(), absl::StrCat("as ", name, ": ", why.empty() ? status.message() : why)));
      return status;
    };
    if (!attempts_.Take(credentials::AddressKey(HostOf(caller.peer)), clock_.Now())) {
      return refuse(absl::ResourceExhaustedError("too many attempts to join; try again in a minute"), "");
    }
    if (absl::Status wanted = Begin(caller); !wanted.ok()) return refuse(wanted, "");
    std::string why;
    absl::StatusOr<GatewayRegistry::Joined> joined = registry_.Join(
        *request,
        [this](const std::string& wanted) {
          for (const v1::GatewayStatus& gateway : distributor_.Gateways()) {
            if (gateway.name() == wanted) return true;
          }
          return false;
        },
        &why);
    if (!joined.ok()) return refuse(joined.status(), why);
    if (joined->anew) options_.removed();
    Act act{method, {absl::StrCat("gateway ", name, " joined by token ", joined->token, " of ", joined->created_by)}};
    // Whoever has the token has no other name yet.
    if (caller.name.empty()) act.actor = absl::StrCat("token:", joined->token);
    GH_RETURN_IF_ERROR(ledger_.Append(caller, act));
    *response = std::move(joined->response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* GatewayService::RenewCertificate(grpc::CallbackServerContext* context,
                                                           const v1::RenewCertificateRequest* request,
                                                           v1::JoinResponse* response) {
  return Run(context, "RenewCertificate", request, [this, request, response](const Caller& caller) -> absl::Status {
    GH_RETURN_IF_ERROR(Begin(caller));
    GH_ASSIGN_OR_RETURN(v1::JoinResponse renewed, registry_.Renew(caller.gateway, caller.chain_pem, request->signing_request()));
    Act act{absl::StrCat(kService, "RenewCertificate"),
            {absl::StrCat("certificate of gateway ", caller.gateway, " renewed, good until ", TimeText(renewed.not_after()))}};
    act.routine = true;
    GH_RETURN_IF_ERROR(ledger_.Append(caller, act));
    *response = std::move(renewed);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* GatewayService::RemoveGateway(grpc::CallbackServerContext* context,
                                                        const v1::RemoveGatewayRequest* request,
                                                        v1::RemoveGatewayResponse*) {
  return Run(context, "RemoveGateway", request, [this, request](const Caller& caller) -> absl::Status {
    GH_RETURN_IF_ERROR(Begin(caller));
    const absl::Status removed = registry_.Remove(request->gateway());
    if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
    const absl::Status forgotten = distributor_.Forget(request->gateway());
    options_.removed();
    if (!forgotten.ok() && !absl::IsNotFound(forgotten)) return forgotten;
    if (!removed.ok() && !forgotten.ok()) return removed;
    return ledger_.Append(caller, {absl::StrCat(kService, "RemoveGateway"),
                                   {absl::StrCat("gateway ", EscapeText(request->gateway()),
                                                 removed.ok() ? " removed: its certificates are refused" : " forgotten: it had not joined")}});
  });
}

}  // namespace gatehouse::api
