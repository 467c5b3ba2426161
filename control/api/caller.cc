#include "control/api/caller.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "control/api/guard.h"
#include "gateway/base/escape.h"
#include "gateway/credentials/throttle.h"

namespace gatehouse::api {
namespace {

using NameKind = AllowedName::Kind;

constexpr std::pair<NameKind, const char*> kProperties[] = {{NameKind::kUri, GRPC_PEER_URI_PROPERTY_NAME},
                                                            {NameKind::kEmail, GRPC_PEER_EMAIL_PROPERTY_NAME},
                                                            {NameKind::kDns, GRPC_PEER_DNS_PROPERTY_NAME}};

bool IsLoopbackPeer(absl::string_view peer) {
  return absl::StartsWith(peer, "ipv4:127.") || absl::StartsWith(peer, "ipv6:[::1]:") ||
         absl::StartsWith(peer, "ipv6:%5B::1%5D:");
}

// "127.0.0.1:41234", "[::1]:41234"
std::string PeerText(absl::string_view peer) {
  if (absl::StartsWith(peer, "fd:") || absl::StartsWith(peer, "unix:")) return "unix";
  if (absl::StartsWith(peer, "ipv4:") || absl::StartsWith(peer, "ipv6:")) peer.remove_prefix(5);
  return absl::StrReplaceAll(peer, {{"%5B", "["}, {"%5D", "]"}});
}

// What gRPC's TLS says of a client; `values(property)` lists a property's values.
template <typename Values>
void ReadCertificate(const Values& values, Identity* identity) {
  identity->kind = Identity::Kind::kCertificate;
  for (const auto& [kind, property] : kProperties) {
    for (std::string& text : values(property)) {
      AllowedName& name = identity->names.emplace_back();
      name.kind = kind;
      name.text = std::move(text);
    }
  }
  // A server's chain is without the leaf.
  for (const char* property : {GRPC_X509_PEM_CERT_PROPERTY_NAME, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME}) {
    for (const std::string& pem : values(property)) identity->chain_pem += pem;
  }
}

}  // namespace

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

bool SameName(const AllowedName& a, const AllowedName& b) {
  if (a.kind != b.kind) return false;
  return a.kind == NameKind::kDns ? absl::EqualsIgnoreCase(a.text, b.text) : a.text == b.text;
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

std::string Identity::Name() const {
  switch (kind) {
    case Kind::kUid: return absl::StrCat("uid:", uid);
    case Kind::kCertificate: return names.empty() ? "" : absl::StrCat("san:", EscapeText(names.front().text));
    case Kind::kLoopback: return "loopback";
    case Kind::kNobody: break;
  }
  return "";
}

std::string Identity::Account() const {
  std::string name = Name();
  if (!name.empty()) return name;
  return absl::StrCat("from ", credentials::AddressText(credentials::AddressKey(HostOf(peer))));
}

absl::StatusOr<Identity> Identify(const grpc::CallbackServerContext& context, bool loopback,
                                  const PeerCredentials& credentials) {
  const std::string peer = context.peer();
  Identity identity;
  identity.peer = PeerText(peer);
  int fd = -1;
  if (absl::StartsWith(peer, "fd:") && absl::SimpleAtoi(absl::string_view(peer).substr(3), &fd)) {
    const std::optional<uid_t> uid = credentials.Find(fd);
    if (!uid.has_value()) return absl::UnauthenticatedError("the caller's uid is not known");
    identity.kind = Identity::Kind::kUid;
    identity.uid = *uid;
    return identity;
  }
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    ReadCertificate(
        [&auth](const char* property) {
          std::vector<std::string> values;
          for (const grpc::string_ref& value : auth->FindPropertyValues(property)) {
            values.emplace_back(value.data(), value.size());
          }
          return values;
        },
        &identity);
    return identity;
  }
  // Without TLS gRPC's auth context says nothing at all.
  const bool tls = auth != nullptr && !auth->FindPropertyValues(GRPC_SSL_SESSION_REUSED_PROPERTY).empty();
  if (tls) return identity;
  if (loopback && IsLoopbackPeer(peer)) {
    identity.kind = Identity::Kind::kLoopback;
    return identity;
  }
  return absl::UnauthenticatedError("the caller has no identity: a client certificate or the Unix socket is needed");
}

Identity Identify(const grpc_auth_context* context) {
  Identity identity;
  if (grpc_auth_context_peer_is_authenticated(context) == 0) return identity;
  ReadCertificate(
      [context](const char* property) {
        std::vector<std::string> values;
        grpc_auth_property_iterator found = grpc_auth_context_find_properties_by_name(context, property);
        while (const grpc_auth_property* value = grpc_auth_property_iterator_next(&found)) {
          values.emplace_back(value->value, value->value_length);
        }
        return values;
      },
      &identity);
  return identity;
}

}  // namespace gatehouse::api
