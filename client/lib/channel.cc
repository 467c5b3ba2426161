#include "client/lib/channel.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <openssl/pem.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gatehouse/v1/access_service.grpc.pb.h"
#include "gateway/base/openssl.h"
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

// gRPC says of a key that does not fit that there is no address.
absl::Status CheckPair(const TlsFiles& files, const std::string& certificate_pem, const std::string& key_pem) {
  const UniqueBio certificate_bio = MemoryBio(certificate_pem), key_bio = MemoryBio(key_pem);
  const UniqueX509 certificate(PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return OpenSslError(absl::StrCat(files.certificate, " holds no certificate in PEM"));
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const UniqueKey key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) return OpenSslError(absl::StrCat(files.key, " holds no private key in PEM, or one under a password"));
  if (X509_check_private_key(certificate.get(), key.get()) == 1) return absl::OkStatus();
  TakeOpenSslError();
  return absl::InvalidArgumentError(absl::StrCat(files.key, " is not the key of ", files.certificate));
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
  GH_RETURN_IF_ERROR(CheckPair(target.tls, options.pem_cert_chain, options.pem_private_key));
  return grpc::SslCredentials(options);
}

// gRPC tells why a channel does not connect to nothing but a call.
std::string WhyNot(const std::shared_ptr<grpc::Channel>& channel, bool tls) {
  constexpr char kBefore[] = "last error: ";
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(1)));
  v1::WhoAmIResponse unused;
  const grpc::Status status = v1::AccessService::NewStub(channel)->WhoAmI(&context, {}, &unused);
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return "";
  std::string text = status.error_message();
  if (const size_t at = text.rfind(kBefore); at != std::string::npos) text.erase(0, at + std::strlen(kBefore));
  // Which is how a server refuses a certificate in TLS 1.3, and what it makes of octets that are no TLS.
  const bool hung_up = text.find("Socket closed") != std::string::npos;
  return absl::StrCat(": ", text, !hung_up ? "" : tls ? "; does it trust our certificate?" : "; does it want TLS?");
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
    return absl::UnavailableError(absl::StrCat("no control plane at ", target.address, " within ", absl::FormatDuration(timeout),
                                               WhyNot(channel, !target.tls.ca.empty())));
  }
  return channel;
}

}  // namespace gatehouse::client
