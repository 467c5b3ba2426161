// ControlServer is the control plane's gRPC server: its listeners, limits, health and reflection.
//
//   ControlServerOptions options{.socket = "/run/gatehouse/control.sock"};
//   GH_ASSIGN_OR_RETURN(auto rules, ControlServer::Prepare(options));     // -> rules.guard for the services
//   GH_ASSIGN_OR_RETURN(auto server, ControlServer::Start(options, rules, {&config, &events, ...}));
//
// Ownership:  services outlive the server.
// Threading:  Shutdown by one thread; addresses by any.
// Errors:     INVALID_ARGUMENT, FAILED_PRECONDITION, NOT_FOUND naming the option, address or file.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/api/callers.h"
#include "control/api/listen.h"
#include "control/api/tls_files.h"

namespace gatehouse::api {

struct ControlServerOptions {
  // Unix socket; empty: none. Members of the group, if one is named, may connect to it.
  std::string socket;
  std::string socket_group;
  // TCP with mutual TLS, "0.0.0.0:7443"; port 0 picks one. Empty: none. Needs the following two.
  std::string listen;
  TlsPaths tls;
  std::vector<AllowedName> allowed_names;
  // Certificate of the authority that gives gateways their client certificates, PEM; empty: none. With it callers without a
  // client certificate may call methods of ANYBODY, such as GatewayService.Join.
  std::string gateway_authority;
  // TCP without TLS, for development: loopback addresses only. Empty: none.
  std::string insecure_loopback;
  // Of one caller.
  CallerLimits limits;
  // Of the requests of all callers' calls that run, as they came.
  uint64_t max_request_octets = uint64_t{512} * 1024 * 1024;
  // A trust store with all the lists that it may hold is one message, and so is a user store of 100,000 users.
  int max_receive_bytes = 144 * 1024 * 1024;
  // Of what gRPC holds for all connections together, before a call has its caller.
  size_t max_memory_bytes = size_t{512} * 1024 * 1024;
};

class ControlServer {
 public:
  struct Access {
    Guard guard;  // the callers'
    std::shared_ptr<PeerCredentials> credentials;
    std::shared_ptr<Callers> callers;
  };
  // Checks what can be checked before anything is opened, and makes the guard that the services need.
  static absl::StatusOr<Access> Prepare(const ControlServerOptions& options);
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(const ControlServerOptions& options, Access access,
                                                              const std::vector<grpc::Service*>& services);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Shutdown stops accepting, lets calls end until `grace` has passed, then cancels them. Idempotent.
  void Shutdown(absl::Duration grace);

  // As TlsFiles::Reload; "" without a TLS listener. Open streams whose callers have no authority any more end. Thread-safe.
  absl::StatusOr<std::string> ReloadTls();

  // "unix:/path", "127.0.0.1:41234": what clients connect to, with the ports that were picked.
  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  ControlServer() = default;

  std::shared_ptr<Callers> callers_;
  std::shared_ptr<TlsFiles> tls_;
  std::unique_ptr<UnixListener> unix_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::string> addresses_;
  bool stopped_ = false;
};

}  // namespace gatehouse::api
