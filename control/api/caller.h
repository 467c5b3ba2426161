// Who calls, and what they may do: one table of every method of every service, and the Guard that services ask before
// their handler runs.
//
//   uid:1000            over the Unix socket: the server's own uid and root, every role, owner too
//   san:spiffe://ops/a  over mutual TLS: a name in the client's certificate that is listed, with the roles listed
//   loopback            over --insecure-loopback: whoever reaches the address, every role
//
// Ownership:  a Guard shares its state; the registry of descriptors is shared with the listener.
// Threading:  thread-safe.
// Errors:     UNAUTHENTICATED (caller unknown), PERMISSION_DENIED (known, role missing), UNIMPLEMENTED (method not in
//             the table: nothing is open by omission).
#pragma once

#include <grpc/grpc_security.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/api/guard.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

// An owner can read the server's files anyway; the role is never given to a name.
enum class Role : uint8_t { kViewer = 1, kEditor = 2, kGateway = 4, kOwner = 8 };
using Roles = uint8_t;
inline constexpr Roles kAllRoles = 7;  // of what can be given

// The role that a method takes; std::nullopt: the method is not in the table.
std::optional<Role> RoleOf(absl::string_view method);

// A name that a client certificate must bear, and what its bearer may do.
struct AllowedName {
  enum class Kind : uint8_t { kUri, kDns, kEmail };
  Kind kind = Kind::kDns;
  std::string text;
  Roles roles = kAllRoles;
};
// "spiffe://ops/alice" (URI), "ops@example.com" (email), "ops.example.com" (DNS). Compared octet by octet; DNS without
// regard to case, and no wildcard on either side.
absl::StatusOr<AllowedName> ParseAllowedName(absl::string_view text, Roles roles = kAllRoles);

// PeerCredentials remembers which uid is behind which descriptor: gRPC shows a peer of ours only as "fd:N".
class PeerCredentials {
 public:
  void Set(int fd, uid_t uid);
  std::optional<uid_t> Find(int fd) const;

 private:
  mutable Mutex mutex_;
  std::map<int, uid_t> uids_ ABSL_GUARDED_BY(mutex_);
};

struct CallerRules {
  std::vector<AllowedName> allowed_names;
  bool insecure_loopback = false;
};

// MayUseSocket: only root and our own effective uid.
bool MayUseSocket(uid_t uid);

// Names of a client certificate as gRPC's TLS shows them, and whether one of them is allowed.
std::optional<AllowedName> FindAllowed(const grpc::AuthContext& context, const std::vector<AllowedName>& allowed);
std::optional<AllowedName> FindAllowed(const grpc_auth_context* context, const std::vector<AllowedName>& allowed);

Guard MakeGuard(CallerRules rules, std::shared_ptr<const PeerCredentials> credentials);

}  // namespace gatehouse::api
