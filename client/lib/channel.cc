#include "client/lib/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::client {
namespace {

// gRPC tells of a socket that nobody serves only after its own back-offs, and never why: ask the kernel first.
absl::Status ProbeSocket(const std::string& path) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::InternalError(std::strerror(errno));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  int error = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(fd);
  switch (error) {
    case 0:
      return absl::OkStatus();
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat("the control plane's socket ", path, " is not ours to use"));
    case ENOENT:
      return absl::UnavailableError(absl::StrCat("no control plane at ", path, ": is gatehouse running?"));
    default:
      return absl::UnavailableError(absl::StrCat("no control plane at ", path, ": ", std::strerror(error)));
  }
}

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const Target& target) {
  if (!target.socket.empty() || target.insecure_loopback) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  GH_ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(target.tls.ca));
  GH_ASSIGN_OR_RETURN(options.pem_cert_chain, ReadPem(target.tls.certificate));
  GH_ASSIGN_OR_RETURN(options.pem_private_key, ReadPem(target.tls.key));
  // An empty bundle would make gRPC fall back to the system's authorities.
  if (options.pem_root_certs.find("-----BEGIN") == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(target.tls.ca, " holds no certificate"));
  }
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const Target& target, absl::Duration timeout) {
  if (!target.socket.empty()) GH_RETURN_IF_ERROR(ProbeSocket(target.socket));
  GH_ASSIGN_OR_RETURN(std::shared_ptr<grpc::ChannelCredentials> credentials, Credentials(target));
  grpc::ChannelArguments arguments;
  // A chunk of a set, or a large trust store that comes back.
  arguments.SetMaxReceiveMessageSize(144 << 20);
  arguments.SetMaxSendMessageSize(144 << 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  // A watcher or gateway must notice that the other end is gone without a word.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // However long nothing happens: by default gRPC asks twice and then never again.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Two clients of one process must not share a connection: each has its own identity and life.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!target.tls.server_name.empty()) arguments.SetSslTargetNameOverride(target.tls.server_name);
  std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(target.address, credentials, arguments);
  if (!channel->WaitForConnected(absl::ToChronoTime(absl::Now() + timeout))) {
    return absl::UnavailableError(absl::StrCat("no control plane at ", target.address, " within ",
                                               absl::FormatDuration(timeout),
                                               target.tls.ca.empty() ? "" : " (or TLS failed: do the certificates fit?)"));
  }
  return channel;
}

}  // namespace gatehouse::client
