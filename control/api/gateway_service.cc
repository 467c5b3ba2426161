#include "control/api/gateway_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"

namespace gatehouse::api {
namespace {

v1::Event AuditEvent(const std::string& what, const std::string& actor, const absl::Status& result, absl::Time now) {
  v1::Event event;
  event.set_type(v1::Event::AUDIT);
  event.set_actor(actor.empty() ? "unknown" : actor);
  event.mutable_time()->set_seconds(absl::ToUnixSeconds(now));
  event.set_outcome(result.ok() ? v1::Event::NOTICE : v1::Event::REFUSED);
  event.set_detail(result.ok() ? what : absl::StrCat(what, ": ", result.message()));
  return event;
}

// "ipv4:127.0.0.1:41234" without its port.
std::string AddressOf(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

}  // namespace

bool Attempts::Take(const std::string& address, absl::Time now) {
  MutexLock lock(&mutex_);
  if (now < minute_ || now >= minute_ + absl::Minutes(1)) {
    minute_ = now;
    all_ = 0;
    of_one_.clear();
  }
  return ++all_ <= kOfAll && ++of_one_[address] <= kOfOne;
}

grpc::ServerUnaryReactor* GatewayService::Run(grpc::CallbackServerContext* context, const char* method, std::string what,
                                              absl::AnyInvocable<absl::Status(const Caller& caller)> work) {
  // The default reactor keeps request and response until it is finished, whether the caller is still there or not.
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::StatusOr<Caller> caller = guard_(*context, absl::StrCat("/gatehouse.v1.GatewayService/", method));
  if (!caller.ok()) {
    reactor->Finish(ToGrpc(caller.status()));
    return reactor;
  }
  const bool queued = executor_.Submit([this, reactor, what = std::move(what), caller = *std::move(caller),
                                        work = std::move(work)]() mutable {
    const absl::Status status = work(caller);
    if (!what.empty()) options_.audit(AuditEvent(what, caller.name, status, clock_.Now()));
    reactor->Finish(ToGrpc(status));
  });
  if (!queued) reactor->Finish(ToGrpc(absl::ResourceExhaustedError("too many calls at once; try again")));
  return reactor;
}

grpc::ServerUnaryReactor* GatewayService::CreateJoinToken(grpc::CallbackServerContext* context,
                                                          const v1::CreateJoinTokenRequest* request,
                                                          v1::CreateJoinTokenResponse* response) {
  const std::string whose = request->gateway().empty() ? "any new name" : EscapeText(request->gateway());
  return Run(context, "CreateJoinToken", absl::StrCat("CreateJoinToken for ", whose),
             [this, request, response](const Caller& caller) -> absl::Status {
               absl::StatusOr<Sha256Digest> anchor = options_.anchor();
               if (!anchor.ok()) return anchor.status();
               absl::StatusOr<v1::CreateJoinTokenResponse> made = registry_.CreateToken(*request, *anchor, caller.name);
               if (!made.ok()) return made.status();
               *response = *std::move(made);
               return absl::OkStatus();
             });
}

grpc::ServerUnaryReactor* GatewayService::ListJoinTokens(grpc::CallbackServerContext* context,
                                                         const v1::ListJoinTokensRequest*,
                                                         v1::ListJoinTokensResponse* response) {
  return Run(context, "ListJoinTokens", "", [this, response](const Caller&) {
    for (v1::JoinToken& token : registry_.Tokens()) *response->add_tokens() = std::move(token);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* GatewayService::DeleteJoinToken(grpc::CallbackServerContext* context,
                                                          const v1::DeleteJoinTokenRequest* request,
                                                          v1::DeleteJoinTokenResponse*) {
  return Run(context, "DeleteJoinToken", absl::StrCat("DeleteJoinToken ", EscapeText(request->id())),
             [this, request](const Caller&) { return registry_.DeleteToken(request->id()); });
}

grpc::ServerUnaryReactor* GatewayService::Join(grpc::CallbackServerContext* context, const v1::JoinRequest* request,
                                               v1::JoinResponse* response) {
  const std::string peer = context->peer();
  return Run(context, "Join", absl::StrCat("Join of ", EscapeText(request->gateway().substr(0, 63)), " from ", peer),
             [this, request, response, peer](const Caller&) -> absl::Status {
               if (!attempts_.Take(AddressOf(peer), clock_.Now())) {
                 return absl::ResourceExhaustedError("too many attempts to join; try again in a minute");
               }
               absl::StatusOr<v1::JoinResponse> joined = registry_.Join(*request, [this](const std::string& name) {
                 for (const v1::GatewayStatus& gateway : distributor_.Gateways()) {
                   if (gateway.name() == name) return true;
                 }
                 return false;
               });
               if (!joined.ok()) return joined.status();
               *response = *std::move(joined);
               return absl::OkStatus();
             });
}

grpc::ServerUnaryReactor* GatewayService::RenewCertificate(grpc::CallbackServerContext* context,
                                                           const v1::RenewCertificateRequest* request,
                                                           v1::JoinResponse* response) {
  return Run(context, "RenewCertificate", "RenewCertificate",
             [this, request, response](const Caller& caller) -> absl::Status {
               absl::StatusOr<v1::JoinResponse> renewed = registry_.Renew(caller.gateway, request->signing_request());
               if (!renewed.ok()) return renewed.status();
               *response = *std::move(renewed);
               return absl::OkStatus();
             });
}

grpc::ServerUnaryReactor* GatewayService::RemoveGateway(grpc::CallbackServerContext* context,
                                                        const v1::RemoveGatewayRequest* request,
                                                        v1::RemoveGatewayResponse*) {
  return Run(context, "RemoveGateway", absl::StrCat("RemoveGateway ", EscapeText(request->gateway().substr(0, 63))),
             [this, request](const Caller&) -> absl::Status {
               const absl::Status removed = registry_.Remove(request->gateway());
               if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
               const absl::Status forgotten = distributor_.Forget(request->gateway());
               options_.removed();
               if (absl::IsNotFound(forgotten)) return removed;
               return forgotten;
             });
}

}  // namespace gatehouse::api
