#include "control/api/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include <chrono>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::api {
namespace {

constexpr int kMaxMetadataBytes = 16 * 1024;
// Pings that come too often before the connection is ended (ENHANCE_YOUR_CALM).
constexpr int kMaxPingStrikes = 2;
constexpr int kHandshakeMillis = 10'000;
constexpr int kKeepaliveMillis = 30'000;

// The address that clients use: the option's host and the port that was picked.
std::string Bound(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

void SetUpPlugins() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

}  // namespace

absl::StatusOr<ControlServer::Access> ControlServer::Prepare(const ControlServerOptions& options) {
  if (options.socket.empty() && options.listen.empty() && options.insecure_loopback.empty()) {
    return absl::InvalidArgumentError("the control API listens nowhere: a socket or an address is needed");
  }
  if (!options.listen.empty()) {
    if (options.tls.certificate.empty() || options.tls.key.empty() || options.tls.client_ca.empty()) {
      return absl::InvalidArgumentError(
          "--listen needs --tls-cert, --tls-key and --client-ca: over TCP the control API takes client certificates only");
    }
    if (options.listen.rfind(':') == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--listen ", options.listen, ": address:port is expected"));
    }
  }
  if (!options.insecure_loopback.empty()) GH_RETURN_IF_ERROR(CheckLoopback(options.insecure_loopback));
  CallerRules rules;
  rules.allowed_names = options.allowed_names;
  rules.insecure_loopback = !options.insecure_loopback.empty();
  rules.anybody = !options.gateway_authority.empty();
  rules.limits = options.limits;
  rules.octets_of_all = options.max_request_octets;
  auto credentials = std::make_shared<PeerCredentials>();
  auto callers = std::make_shared<Callers>(std::move(rules), credentials);
  return Access{callers->guard(), std::move(credentials), std::move(callers)};
}

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(const ControlServerOptions& options,
                                                                    Access access,
                                                                    const std::vector<grpc::Service*>& services) {
  SetUpPlugins();
  auto control = std::unique_ptr<ControlServer>(new ControlServer());
  control->callers_ = access.callers;
  if (!options.socket.empty()) {
    GH_ASSIGN_OR_RETURN(control->unix_, UnixListener::Open(
        options.socket, access.credentials, [callers = access.callers](uid_t uid) { return callers->MayConnect(uid); }, options.socket_group));
    control->addresses_.push_back(absl::StrCat("unix:", options.socket));
  }
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  // Watchers ping while nothing happens.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, kMaxPingStrikes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(options.limits.streams_at_once));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMillis);
  // Who is gone without a word is found out.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMillis);
  builder.SetMaxReceiveMessageSize(options.max_receive_bytes);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(MakeCallCounter(access.callers->calls()));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  grpc::ResourceQuota quota("control");
  quota.Resize(options.max_memory_bytes);
  builder.SetResourceQuota(quota);
  int tls_port = 0, loopback_port = 0;
  if (!options.listen.empty()) {
    GH_ASSIGN_OR_RETURN(control->tls_, TlsFiles::Load(options.tls, options.gateway_authority));
    access.callers->SetVouch([tls = control->tls_](const std::string& chain) { return tls->Vouch(chain); });
    builder.AddListeningPort(options.listen,
                             control->tls_->Credentials(access.callers, !options.gateway_authority.empty()), &tls_port);
  }
  if (!options.insecure_loopback.empty()) {
    builder.AddListeningPort(options.insecure_loopback, grpc::InsecureServerCredentials(), &loopback_port);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  control->server_ = builder.BuildAndStart();
  if (!options.listen.empty() && (control->server_ == nullptr || tls_port == 0)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--listen ", options.listen, ": cannot bind; is the port in use?"));
  }
  if (!options.insecure_loopback.empty() && (control->server_ == nullptr || loopback_port == 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat("--insecure-loopback ", options.insecure_loopback, ": cannot bind; is the port in use?"));
  }
  if (control->server_ == nullptr) return absl::UnavailableError("the gRPC server does not start");
  if (tls_port != 0) control->addresses_.push_back(Bound(options.listen, tls_port));
  if (loopback_port != 0) control->addresses_.push_back(Bound(options.insecure_loopback, loopback_port));
  if (control->unix_ != nullptr) control->unix_->Serve(*control->server_);
  return control;
}

ControlServer::~ControlServer() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::string> ControlServer::ReloadTls() {
  if (tls_ == nullptr) return std::string();
  absl::StatusOr<std::string> taken = tls_->Reload();
  if (taken.ok() && !taken->empty()) callers_->Rejudge();
  return taken;
}

void ControlServer::Shutdown(absl::Duration grace) {
  if (stopped_) return;
  stopped_ = true;
  if (unix_ != nullptr) unix_->Stop();
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
  server_->Wait();
}

}  // namespace gatehouse::api
