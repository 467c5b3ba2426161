#include "control/api/callers.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::api {
namespace {

bool OwnsSocket(uid_t uid) { return uid == 0 || uid == geteuid(); }

// Of a certificate of the gateways' authority; "" when it names none.
std::string GatewayOf(const Identity& identity) {
  for (const AllowedName& name : identity.names) {
    absl::string_view text = name.text;
    if (name.kind == AllowedName::Kind::kUri && absl::ConsumePrefix(&text, kGatewayNames)) return std::string(text);
  }
  return "";
}

absl::Status Missing(const Caller& caller, const Identity& identity, const Method& method) {
  if (caller.roles == 0 && identity.kind == Identity::Kind::kNobody) {
    return absl::UnauthenticatedError(
        absl::StrCat(method.name, ": the caller has no identity: a client certificate is needed"));
  }
  const std::string who = caller.name.empty() ? "the client certificate names nobody, who" : EscapeText(caller.name);
  return absl::PermissionDeniedError(absl::StrCat(who, " may not call ", method.name, ": the role ",
                                                  v1::Role_Name(method.role), " is needed, ", RolesText(caller.roles),
                                                  " given"));
}

}  // namespace

std::optional<uid_t> UidOf(absl::string_view caller) {
  uint32_t uid = 0;
  if (!absl::ConsumePrefix(&caller, "uid:") || !absl::SimpleAtoi(caller, &uid)) return std::nullopt;
  // One spelling a uid, and not the one that means none.
  if (absl::StrCat(uid) != caller || uid == UINT32_MAX) return std::nullopt;
  return static_cast<uid_t>(uid);
}

Callers::Callers(CallerRules rules, std::shared_ptr<const PeerCredentials> credentials)
    : rules_(std::move(rules)), credentials_(std::move(credentials)), calls_(std::make_shared<LiveCalls>(rules_.octets_of_all)) {}

std::shared_ptr<const Callers::Known> Callers::known() const {
  MutexLock lock(&mutex_);
  return known_;
}

void Callers::TellRefused(const Caller& who, absl::string_view method, const absl::Status& why) const {
  const std::shared_ptr<const Known> known = this->known();
  if (known->refused != nullptr) known->refused(who, method, why);
}

template <typename F>
void Callers::Change(F change) {
  MutexLock lock(&mutex_);
  auto next = std::make_shared<Known>(*known_);
  change(*next);
  known_ = std::move(next);
}

void Callers::SetVouch(Vouch vouch) {
  Change([&](Known& known) { known.vouch = std::move(vouch); });
}
void Callers::SetGatewayCheck(GatewayCheck check) {
  Change([&](Known& known) { known.gateway_check = std::move(check); });
}
void Callers::SetRefused(Refused refused) {
  Change([&](Known& known) { known.refused = std::move(refused); });
}

void Callers::SetBindings(std::vector<v1::Binding> bindings) {
  std::vector<Bound> bound;
  for (const v1::Binding& binding : bindings) {
    for (absl::string_view caller : binding.callers()) {
      Bound one;
      one.binding = binding.name();
      one.roles = RolesOf(binding.role());
      if (const std::optional<uid_t> uid = UidOf(caller)) {
        one.is_uid = true;
        one.uid = *uid;
      } else if (absl::ConsumePrefix(&caller, "san:")) {
        absl::StatusOr<AllowedName> name = ParseAllowedName(caller);
        if (!name.ok()) continue;  // what the validator lets in parses
        one.name = *std::move(name);
      } else {
        continue;
      }
      bound.push_back(std::move(one));
    }
  }
  Change([&](Known& known) { known.bound = std::move(bound); });
  Rejudge();
}

void Callers::Rejudge() {
  // Of many streams of one caller his certificate is looked at once.
  using Who = std::tuple<Identity::Kind, uid_t, absl::string_view>;
  std::map<Who, absl::StatusOr<Caller>> recognised;
  const std::vector<LiveCalls::Stream> streams = calls_->Streams();
  for (const LiveCalls::Stream& stream : streams) {
    const Identity& identity = *stream.identity;
    const auto [it, fresh] = recognised.try_emplace({identity.kind, identity.uid, identity.chain_pem}, Caller());
    if (fresh) it->second = Recognise(identity);
    Caller who;
    const absl::Status now = Allow(it->second, identity, *stream.method, &who).status();
    if (!now.ok() && calls_->Revoke(stream, now)) TellRefused(who, stream.method->name, now);
  }
}

size_t Callers::Sweep(LiveCalls::Instant now, absl::Duration longest) {
  Rejudge();
  return calls_->EndOlder(now, longest);
}

absl::StatusOr<Caller> Callers::Recognise(const Identity& identity) const {
  const std::shared_ptr<const Known> known = this->known();
  Caller caller(identity.Name());
  caller.peer = identity.peer;
  switch (identity.kind) {
    case Identity::Kind::kNobody: return caller;
    case Identity::Kind::kLoopback:
      caller.roles = kAllowedRoles;
      return caller;
    case Identity::Kind::kUid:
      if (OwnsSocket(identity.uid)) caller.roles = kOwnerRoles | RoleBit(v1::GATEWAY);
      for (const Bound& bound : known->bound) {
        if (!bound.is_uid || bound.uid != identity.uid) continue;
        caller.roles |= bound.roles;
        caller.bindings.push_back(bound.binding);
      }
      break;
    case Identity::Kind::kCertificate: {
      if (known->vouch != nullptr) {
        absl::StatusOr<Voucher> voucher = known->vouch(identity.chain_pem);
        if (!voucher.ok()) return voucher.status();
        if (*voucher == Voucher::kGateways) {
          caller.gateway = GatewayOf(identity);
          if (caller.gateway.empty()) return absl::PermissionDeniedError("the certificate names no gateway");
          caller.name = absl::StrCat("san:", kGatewayNames, caller.gateway);
          if (known->gateway_check != nullptr) {
            const absl::Status good = known->gateway_check(caller.gateway, identity.chain_pem);
            if (!good.ok()) return good;
          }
          caller.chain_pem = identity.chain_pem;
          caller.roles = RoleBit(v1::GATEWAY);
          return caller;
        }
      }
      bool named = false;  // the name that gives roles is the one that is told
      auto take = [&](const AllowedName& name, Roles roles) {
        for (const AllowedName& own : identity.names) {
          if (!SameName(own, name)) continue;
          caller.roles |= roles;
          if (!std::exchange(named, true)) caller.name = absl::StrCat("san:", name.text);
          return true;
        }
        return false;
      };
      for (const AllowedName& name : rules_.allowed_names) take(name, name.roles);
      for (const Bound& bound : known->bound) {
        if (!bound.is_uid && take(bound.name, bound.roles)) caller.bindings.push_back(bound.binding);
      }
      break;
    }
  }
  std::sort(caller.bindings.begin(), caller.bindings.end());
  caller.bindings.erase(std::unique(caller.bindings.begin(), caller.bindings.end()), caller.bindings.end());
  return caller;
}

bool Callers::MayConnect(uid_t uid) const {
  if (OwnsSocket(uid)) return true;
  const std::shared_ptr<const Known> known = this->known();
  const bool bound = std::any_of(known->bound.begin(), known->bound.end(),
                                 [uid](const Bound& one) { return one.is_uid && one.uid == uid; });
  if (!bound) {
    Caller who(absl::StrCat("uid:", uid));
    who.peer = "unix";
    TellRefused(who, "connect", absl::PermissionDeniedError("no binding names this uid; it was hung up on"));
  }
  return bound;
}

absl::Status Callers::MayPass(const Identity& identity, absl::string_view path) const {
  Caller who(identity.Name());
  const bool nobody = identity.kind == Identity::Kind::kNobody;
  const absl::Status passes = [&]() -> absl::Status {
    if (RoleOf(path) == v1::ANYBODY && (!nobody || rules_.anybody)) return absl::OkStatus();
    if (nobody) return absl::UnauthenticatedError("the caller has no identity: a client certificate is needed");
    absl::StatusOr<Caller> caller = Recognise(identity);
    if (!caller.ok()) return caller.status();
    if (caller->roles != 0) return absl::OkStatus();
    return absl::PermissionDeniedError("no name of the client certificate is among the allowed ones: no binding names it");
  }();
  if (!passes.ok()) TellRefused(who, path, passes);
  return passes;
}

absl::StatusOr<Caller> Callers::Allow(absl::StatusOr<Caller> caller, const Identity& identity, const Method& method,
                                      Caller* who) const {
  who->name = identity.Name();
  who->peer = identity.peer;
  if (!caller.ok()) return caller.status();
  caller->peer = identity.peer;
  *who = *caller;
  const bool anybody = method.role == v1::ANYBODY && (identity.kind != Identity::Kind::kNobody || rules_.anybody);
  if (anybody || caller->Has(method.role)) return caller;
  return Missing(*caller, identity, method);
}

absl::StatusOr<Caller> Callers::JudgeIdentity(const Identity& identity, const Method& method, Caller* who) const {
  return Allow(Recognise(identity), identity, method, who);
}

std::shared_ptr<Deed> Callers::NewDeed(const grpc::CallbackServerContext& context, const Method& method, const Caller& who) {
  return std::make_shared<Deed>([&context, who]() -> absl::Status {
                                  GH_RETURN_IF_ERROR(StillWanted(context));
                                  return RolesNow(who).status();
                                },
                                [self = shared_from_this(), who, &method](const absl::Status& why) {
                                  self->TellRefused(who, method.name, why);
                                });
}

absl::StatusOr<Caller> Callers::Judge(const grpc::CallbackServerContext& context, absl::string_view name, size_t octets) {
  Caller who;
  absl::StatusOr<Caller> result = [&]() -> absl::StatusOr<Caller> {
    absl::StatusOr<Identity> identified = Identify(context, rules_.insecure_loopback, *credentials_);
    if (!identified.ok()) return identified.status();
    const Method* method = FindMethod(name);
    if (method == nullptr) return absl::UnimplementedError(absl::StrCat(name, " is not served"));
    auto identity = std::make_shared<const Identity>(*std::move(identified));
    // Counted before it is judged: a change of the rules meanwhile finds it among the streams.
    const bool stranger = identity->kind == Identity::Kind::kNobody;
    const absl::Status counted = calls_->Enter(&context, *method, identity, stranger ? kStrangerLimits : rules_.limits, octets,
                                               std::chrono::steady_clock::now());
    if (!counted.ok()) {
      who.name = identity->Name();
      who.peer = identity->peer;
      return counted;
    }
    absl::StatusOr<Caller> judged = JudgeIdentity(*identity, *method, &who);
    if (!judged.ok()) return judged;
    judged->admitted = true;
    judged->judge = [self = shared_from_this(), identity, method]() -> absl::StatusOr<Roles> {
      Caller again;
      GH_ASSIGN_OR_RETURN(again, self->JudgeIdentity(*identity, *method, &again));
      return again.roles;
    };
    if (method->writes) judged->deed = calls_->SetDeed(&context, NewDeed(context, *method, *judged));
    return judged;
  }();
  if (result.ok()) return result;
  // Of one that was let in before and is not any more, nobody else is to tell.
  const std::shared_ptr<Deed> deed = calls_->DeedOf(&context);
  if (deed == nullptr || deed->Tell()) TellRefused(who, name, result.status());
  return result;
}

absl::Status Callers::Hold(const grpc::CallbackServerContext& context, size_t octets) {
  return calls_->Hold(&context, rules_.limits, octets, std::chrono::steady_clock::now());
}

std::unique_ptr<Admission> Callers::Admit(const grpc::CallbackServerContext& context,
                                          std::function<void(const absl::Status&)> end) {
  return calls_->Admit(&context, std::move(end));
}

}  // namespace gatehouse::api
