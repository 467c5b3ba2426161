#include "control/api/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/auth_metadata_processor.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::api {
namespace {

constexpr int kMaxMetadataBytes = 16 * 1024;

absl::StatusOr<std::string> ReadFile(absl::string_view option, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!(text << file.rdbuf()) || text.str().empty()) {
    return absl::NotFoundError(absl::StrCat(option, ": cannot read ", path));
  }
  return text.str();
}

// Refuses strangers before any handler, those of health and reflection included.
class NameCheck final : public grpc::AuthMetadataProcessor {
 public:
  explicit NameCheck(std::vector<AllowedName> allowed) : allowed_(std::move(allowed)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*, OutputMetadata*) override {
    if (context->IsPeerAuthenticated() && FindAllowed(*context, allowed_).has_value()) return grpc::Status::OK;
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED,
                        "no name of the client certificate is among the allowed ones");
  }

 private:
  const std::vector<AllowedName> allowed_;
};

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MutualTls(const ControlServerOptions& options) {
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  GH_ASSIGN_OR_RETURN(pair.cert_chain, ReadFile("--tls-cert", options.tls_certificate_file));
  GH_ASSIGN_OR_RETURN(pair.private_key, ReadFile("--tls-key", options.tls_key_file));
  GH_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadFile("--client-ca", options.client_ca_file));
  tls.pem_key_cert_pairs.push_back(std::move(pair));
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::SslServerCredentials(tls);
  credentials->SetAuthMetadataProcessor(std::make_shared<NameCheck>(options.allowed_names));
  return credentials;
}

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
    if (options.tls_certificate_file.empty() || options.tls_key_file.empty() || options.client_ca_file.empty() ||
        options.allowed_names.empty()) {
      return absl::InvalidArgumentError(
          "--listen needs --tls-cert, --tls-key, --client-ca and at least one --allow-san: over TCP the control API "
          "takes named client certificates only");
    }
    if (options.listen.rfind(':') == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--listen ", options.listen, ": address:port is expected"));
    }
  }
  if (!options.insecure_loopback.empty()) GH_RETURN_IF_ERROR(CheckLoopback(options.insecure_loopback));
  Access access;
  access.credentials = std::make_shared<PeerCredentials>();
  CallerRules rules;
  rules.allowed_names = options.allowed_names;
  rules.insecure_loopback = !options.insecure_loopback.empty();
  access.guard = MakeGuard(std::move(rules), access.credentials);
  return access;
}

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(const ControlServerOptions& options,
                                                                    Access access,
                                                                    const std::vector<grpc::Service*>& services) {
  SetUpPlugins();
  auto control = std::unique_ptr<ControlServer>(new ControlServer());
  if (!options.socket.empty()) {
    GH_ASSIGN_OR_RETURN(control->unix_, UnixListener::Open(options.socket, access.credentials));
    control->addresses_.push_back(absl::StrCat("unix:", options.socket));
  }
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  // Watchers ping while nothing happens.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.SetMaxReceiveMessageSize(options.max_receive_bytes);
  grpc::ResourceQuota quota("control");
  quota.Resize(options.max_memory_bytes);
  builder.SetResourceQuota(quota);
  int tls_port = 0, loopback_port = 0;
  if (!options.listen.empty()) {
    GH_ASSIGN_OR_RETURN(auto credentials, MutualTls(options));
    builder.AddListeningPort(options.listen, credentials, &tls_port);
  }
  if (!options.insecure_loopback.empty()) {
    builder.AddListeningPort(options.insecure_loopback, grpc::InsecureServerCredentials(), &loopback_port);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  control->server_ = builder.BuildAndStart();
  if (!options.listen.empty() && (control->server_ == nullptr || tls_port == 0)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--listen ", options.listen, ": cannot bind; the port is in use, or certificate and key do not fit"));
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

void ControlServer::Shutdown(absl::Duration grace) {
  if (stopped_) return;
  stopped_ = true;
  if (unix_ != nullptr) unix_->Stop();
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
  server_->Wait();
}

}  // namespace gatehouse::api
