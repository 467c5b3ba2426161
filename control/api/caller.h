// Who is behind a call, before it is asked what they may do.
//
//   uid:1000            over the Unix socket
//   san:spiffe://ops/a  over mutual TLS: names in the client's certificate
//   loopback            over --insecure-loopback: whoever reaches the address
//   nobody              over TLS without a client certificate
//
// Threading:  PeerCredentials is thread-safe; the rest are pure functions.
// Errors:     UNAUTHENTICATED (a caller that cannot be named).
#pragma once

#include <grpc/grpc_security.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/api/roles.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

// A name that a client certificate must bear, and what its bearer may do.
struct AllowedName {
  enum class Kind : uint8_t { kUri, kDns, kEmail };
  Kind kind = Kind::kDns;
  std::string text;
  Roles roles = kAllowedRoles;
};
// "spiffe://ops/alice" (URI), "ops@example.com" (email), "ops.example.com" (DNS). Compared octet by octet; DNS without
// regard to case, and no wildcard on either side.
absl::StatusOr<AllowedName> ParseAllowedName(absl::string_view text, Roles roles = kAllowedRoles);
bool SameName(const AllowedName& a, const AllowedName& b);

// PeerCredentials remembers which uid is behind which descriptor: gRPC shows a peer of ours only as "fd:N".
class PeerCredentials {
 public:
  void Set(int fd, uid_t uid);
  std::optional<uid_t> Find(int fd) const;

 private:
  mutable Mutex mutex_;
  std::map<int, uid_t> uids_ ABSL_GUARDED_BY(mutex_);
};

struct Identity {
  enum class Kind : uint8_t { kNobody, kUid, kCertificate, kLoopback };
  Kind kind = Kind::kNobody;
  std::string peer;                // "unix", "127.0.0.1:41234"
  uid_t uid = 0;                   // kUid
  std::vector<AllowedName> names;  // kCertificate: of the leaf; their roles mean nothing
  std::string chain_pem;           // kCertificate: leaf first

  // As in a binding and in the history: "uid:0", "san:spiffe://ops/alice" (the first of the names), "loopback"; for nobody
  // and for a certificate without a name: "".
  std::string Name() const;
  // Whose calls are counted together: of a name, or of an address (IPv6: its /64).
  std::string Account() const;
};

// Of a call. `loopback`: callers without TLS from a loopback address are taken for what they are.
absl::StatusOr<Identity> Identify(const grpc::CallbackServerContext& context, bool loopback,
                                  const PeerCredentials& credentials);
// Of a TLS connection, before any call has got to a handler.
Identity Identify(const grpc_auth_context* context);

}  // namespace gatehouse::api
