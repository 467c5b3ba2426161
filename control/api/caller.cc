#include "control/api/caller.h"

#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace gatehouse::api {
namespace {

struct MethodRole {
  absl::string_view method;
  Role role;
};

// Every method of every service of the package; a test compares it with the descriptors.
constexpr MethodRole kRoles[] = {
    {"/gatehouse.v1.ConfigService/Get", Role::kViewer},
    {"/gatehouse.v1.ConfigService/List", Role::kViewer},
    {"/gatehouse.v1.ConfigService/History", Role::kViewer},
    {"/gatehouse.v1.ConfigService/Create", Role::kEditor},
    {"/gatehouse.v1.ConfigService/Update", Role::kEditor},
    {"/gatehouse.v1.ConfigService/Delete", Role::kEditor},
    {"/gatehouse.v1.ConfigService/Apply", Role::kEditor},
    {"/gatehouse.v1.ConfigService/Rollback", Role::kEditor},
    {"/gatehouse.v1.ConfigService/Export", Role::kViewer},
    {"/gatehouse.v1.ConfigService/Compare", Role::kViewer},
    {"/gatehouse.v1.ConfigService/WatchResources", Role::kViewer},
    {"/gatehouse.v1.EventService/Summary", Role::kViewer},
    {"/gatehouse.v1.StatusService/WatchStatus", Role::kViewer},
    {"/gatehouse.v1.UpstreamService/ListEndpoints", Role::kViewer},
    {"/gatehouse.v1.AccessService/WhoAmI", Role::kViewer},
    {"/gatehouse.v1.AccessService/RotateKey", Role::kOwner},
    {"/gatehouse.v1.GatewayService/CreateJoinToken", Role::kOwner},
    {"/gatehouse.v1.GatewayService/ListJoinTokens", Role::kOwner},
    {"/gatehouse.v1.GatewayService/DeleteJoinToken", Role::kOwner},
    {"/gatehouse.v1.GatewayService/Join", Role::kViewer},
    {"/gatehouse.v1.GatewayService/RenewCertificate", Role::kGateway},
    {"/gatehouse.v1.GatewayService/RemoveGateway", Role::kOwner},
    {"/gatehouse.v1.CertificateService/Explain", Role::kViewer},
    {"/gatehouse.v1.CertificateService/ListTrust", Role::kViewer},
    {"/gatehouse.v1.PolicyService/TestPolicy", Role::kViewer},
    {"/gatehouse.v1.LockoutService/ListLockouts", Role::kViewer},
    {"/gatehouse.v1.LockoutService/ClearLockouts", Role::kEditor},
    {"/gatehouse.v1.EventService/Watch", Role::kViewer},
    {"/gatehouse.v1.EventService/Report", Role::kGateway},
    {"/gatehouse.v1.SnapshotService/Subscribe", Role::kGateway},
    {"/gatehouse.v1.StatusService/GetStatus", Role::kViewer},
    {"/gatehouse.v1.UserService/GetUser", Role::kViewer},
    {"/gatehouse.v1.UserService/ListUsers", Role::kViewer},
    {"/gatehouse.v1.UserService/SetUser", Role::kEditor},
    {"/gatehouse.v1.UserService/DeleteUser", Role::kEditor},
    {"/gatehouse.v1.UserService/ImportUsers", Role::kEditor},
    {"/gatehouse.v1.UserService/ExportUsers", Role::kOwner},
    {"/gatehouse.v1.UserService/RenewHash", Role::kGateway},
};

const char* PropertyOf(AllowedName::Kind kind) {
  switch (kind) {
    case AllowedName::Kind::kUri: return GRPC_PEER_URI_PROPERTY_NAME;
    case AllowedName::Kind::kEmail: return GRPC_PEER_EMAIL_PROPERTY_NAME;
    case AllowedName::Kind::kDns: break;
  }
  return GRPC_PEER_DNS_PROPERTY_NAME;
}

const char* RoleName(Role role) {
  switch (role) {
    case Role::kViewer: return "viewer";
    case Role::kEditor: return "editor";
    case Role::kOwner: return "owner (the Unix socket)";
    case Role::kGateway: break;
  }
  return "gateway";
}

bool IsNamed(const AllowedName& name, absl::string_view text) {
  return name.kind == AllowedName::Kind::kDns ? absl::EqualsIgnoreCase(text, name.text) : text == name.text;
}

bool IsLoopbackPeer(absl::string_view peer) {
  return absl::StartsWith(peer, "ipv4:127.") || absl::StartsWith(peer, "ipv6:[::1]:") ||
         absl::StartsWith(peer, "ipv6:%5B::1%5D:");
}

struct Known {
  std::string name;
  Roles roles = 0;
};

absl::StatusOr<Known> Identify(const grpc::CallbackServerContext& context, const CallerRules& rules,
                               const PeerCredentials& credentials) {
  const std::string peer = context.peer();
  int fd = -1;
  if (absl::StartsWith(peer, "fd:") && absl::SimpleAtoi(absl::string_view(peer).substr(3), &fd)) {
    const std::optional<uid_t> uid = credentials.Find(fd);
    if (!uid.has_value()) return absl::UnauthenticatedError("the caller's uid is not known");
    if (!MayUseSocket(*uid)) return absl::PermissionDeniedError(absl::StrCat("uid ", *uid, " may not use this socket"));
    return Known{absl::StrCat("uid:", *uid), kAllRoles | static_cast<Roles>(Role::kOwner)};
  }
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    const std::optional<AllowedName> name = FindAllowed(*auth, rules.allowed_names);
    if (!name.has_value()) {
      return absl::PermissionDeniedError("no name of the client certificate is among the allowed ones");
    }
    return Known{absl::StrCat("san:", name->text), name->roles};
  }
  // Without TLS gRPC's auth context says nothing at all.
  if (rules.insecure_loopback && IsLoopbackPeer(peer) &&
      (auth == nullptr || auth->FindPropertyValues(GRPC_SSL_SESSION_REUSED_PROPERTY).empty())) {
    return Known{"loopback", kAllRoles};
  }
  return absl::UnauthenticatedError("the caller has no identity: a client certificate or the Unix socket is needed");
}

}  // namespace

std::optional<Role> RoleOf(absl::string_view method) {
  for (const MethodRole& entry : kRoles) {
    if (entry.method == method) return entry.role;
  }
  return std::nullopt;
}

absl::StatusOr<AllowedName> ParseAllowedName(absl::string_view text, Roles roles) {
  AllowedName name;
  name.text = std::string(text);
  name.roles = roles;
  for (char c : text) {
    if (c <= ' ' || c > '~' || c == '*') {
      return absl::InvalidArgumentError(
          absl::StrCat("allowed name \"", text, "\": printable ASCII without spaces and wildcards is expected"));
    }
  }
  if (text.empty()) return absl::InvalidArgumentError("allowed name: empty");
  if (absl::StrContains(text, "://")) {
    name.kind = AllowedName::Kind::kUri;
  } else if (absl::StrContains(text, "@")) {
    name.kind = AllowedName::Kind::kEmail;
  } else {
    name.kind = AllowedName::Kind::kDns;
  }
  return name;
}

void PeerCredentials::Set(int fd, uid_t uid) {
  MutexLock lock(&mutex_);
  uids_[fd] = uid;
}

std::optional<uid_t> PeerCredentials::Find(int fd) const {
  MutexLock lock(&mutex_);
  auto it = uids_.find(fd);
  if (it == uids_.end()) return std::nullopt;
  return it->second;
}

bool MayUseSocket(uid_t uid) { return uid == 0 || uid == geteuid(); }

std::optional<AllowedName> FindAllowed(const grpc::AuthContext& context, const std::vector<AllowedName>& allowed) {
  for (const AllowedName& name : allowed) {
    for (const grpc::string_ref& value : context.FindPropertyValues(PropertyOf(name.kind))) {
      if (IsNamed(name, absl::string_view(value.data(), value.size()))) return name;
    }
  }
  return std::nullopt;
}

std::optional<AllowedName> FindAllowed(const grpc_auth_context* context, const std::vector<AllowedName>& allowed) {
  for (const AllowedName& name : allowed) {
    grpc_auth_property_iterator values = grpc_auth_context_find_properties_by_name(context, PropertyOf(name.kind));
    while (const grpc_auth_property* value = grpc_auth_property_iterator_next(&values)) {
      if (IsNamed(name, absl::string_view(value->value, value->value_length))) return name;
    }
  }
  return std::nullopt;
}

Guard MakeGuard(CallerRules rules, std::shared_ptr<const PeerCredentials> credentials) {
  return [rules = std::move(rules), credentials = std::move(credentials)](
             const grpc::CallbackServerContext& context, absl::string_view method) -> absl::StatusOr<std::string> {
    auto caller = Identify(context, rules, *credentials);
    if (!caller.ok()) return caller.status();
    const std::optional<Role> role = RoleOf(method);
    if (!role.has_value()) return absl::UnimplementedError(absl::StrCat(method, " is not served"));
    if ((caller->roles & static_cast<Roles>(*role)) == 0) {
      return absl::PermissionDeniedError(
          absl::StrCat(caller->name, " may not call ", method, ": the role ", RoleName(*role), " is needed"));
    }
    return caller->name;
  };
}

}  // namespace gatehouse::api
