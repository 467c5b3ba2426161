#include "gateway/remote/enrolment.h"

#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/base/openssl.h"
#include "gateway/base/status.h"
#include "gateway/base/steady.h"
#include "gateway/certs/mint.h"
#include "gateway/certs/signing_request.h"
#include "gatehouse/v1/gateway_service.grpc.pb.h"

namespace gatehouse::remote {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(10);
constexpr size_t kRoom = 16 * 1024;  // octets, more than a key and a chain take
constexpr char kNames[] = "spiffe://gatehouse/gateway/";

std::optional<std::string> ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

// Whole or not at all, 0600.
absl::Status WriteWhole(const std::string& path, absl::string_view content) {
  const std::string temporary = path + ".new";
  unlink(temporary.c_str());
  const int fd = open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  bool ok = fd >= 0;
  for (size_t at = 0; ok && at < content.size();) {
    const ssize_t n = write(fd, content.data() + at, content.size() - at);
    if (n < 0 && errno == EINTR) continue;
    ok = n > 0;
    at += ok ? static_cast<size_t>(n) : 0;
  }
  ok = ok && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (fd >= 0 && !ok) unlink(temporary.c_str());
  if (ok && rename(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", path, ": ", std::strerror(ok ? errno : error)));
}

// The certificates that the server at `address` presents; nothing is concluded from them, and nothing said.
absl::StatusOr<std::vector<certs::CertificateRef>> Presented(const std::string& address) {
  UniqueSslCtx context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  UniqueBio bio(BIO_new_ssl_connect(context.get()));
  SSL* ssl = nullptr;
  BIO_get_ssl(bio.get(), &ssl);
  BIO_set_conn_hostname(bio.get(), address.c_str());
  BIO_set_nbio(bio.get(), 1);
  constexpr unsigned char kH2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl, kH2, sizeof kH2);
  const std::string host = address.substr(0, address.rfind(':'));
  SSL_set_tlsext_host_name(ssl, host.c_str());
  const SteadyTime until = SteadyAfter(kTimeout);
  while (BIO_do_handshake(bio.get()) != 1) {
    if (!BIO_should_retry(bio.get()) || SteadyNow() > until) {
      return absl::UnavailableError(absl::StrCat("no control plane with TLS at ", address, ": ", TakeOpenSslError()));
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  std::vector<certs::CertificateRef> list;
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    UniqueBio memory(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(memory.get(), sk_X509_value(chain, i));
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &data);
    GH_ASSIGN_OR_RETURN(auto one, certs::Certificate::ListFromPem(absl::string_view(data, static_cast<size_t>(size))));
    list.push_back(one.front());
  }
  return list;
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

void SetUp(grpc::ClientContext* context) {
  context->set_wait_for_ready(true);
  context->set_deadline(absl::ToChronoTime(absl::Now() + kTimeout));
}

}  // namespace

absl::StatusOr<Enrolment> Enrolment::Open(const std::string& folder, const std::string& gateway) {
  Enrolment enrolment(folder, gateway);
  if (access(enrolment.identity().c_str(), F_OK) == 0) GH_RETURN_IF_ERROR(enrolment.Read());
  return enrolment;
}

absl::Status Enrolment::Read() {
  const std::optional<std::string> pem = ReadAll(identity());
  if (!pem) return absl::FailedPreconditionError(absl::StrCat(identity(), ": ", std::strerror(errno)));
  return Take(*pem);
}

absl::Status Enrolment::Take(absl::string_view pem) {
  const auto bad = [&](absl::string_view why) { return absl::FailedPreconditionError(absl::StrCat(identity(), ": ", why)); };
  const size_t begin = pem.find("-----BEGIN CERTIFICATE-----");  // the key is in front
  if (begin == absl::string_view::npos) return bad("holds no certificate");
  absl::StatusOr<std::vector<certs::CertificateRef>> chain = certs::Certificate::ListFromPem(pem.substr(begin));
  if (!chain.ok()) return bad(chain.status().message());
  const certs::Certificate& leaf = *chain->front();
  const bool ours = std::any_of(leaf.sans().begin(), leaf.sans().end(), [&](const certs::San& san) {
    return san.kind == certs::SanKind::kUri && san.text == absl::StrCat(kNames, gateway_);
  });
  if (!ours) return bad(absl::StrCat("is not of a gateway named ", gateway_, "; --name must be the one that joined"));
  not_before_ = leaf.not_before();
  not_after_ = leaf.not_after();
  return absl::OkStatus();
}

client::TlsFiles Enrolment::Files(const client::TlsFiles& given) const {
  client::TlsFiles files = given;
  files.certificate = files.key = identity();
  if (files.ca.empty()) files.ca = authority();
  return files;
}

absl::Status Enrolment::Join(const std::string& address, const std::string& server_name, const JoinToken& token) {
  GH_ASSIGN_OR_RETURN(const std::vector<certs::CertificateRef> presented, Presented(address));
  const auto anchor = std::find_if(presented.begin(), presented.end(), [&](const certs::CertificateRef& certificate) {
    return certificate->sha256() == token.anchor;
  });
  if (anchor == presented.end()) {
    return absl::UnauthenticatedError(absl::StrCat(
        address, " does not present the certificate that the token names: it is another control plane, or its certificate was "
        "replaced since; the token was not sent"));
  }
  // From here on gRPC verifies, by that certificate alone, before the token leaves.
  const std::string anchor_pem = (*anchor)->ToPem();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = anchor_pem;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!server_name.empty()) arguments.SetSslTargetNameOverride(server_name);
  auto channel = grpc::CreateCustomChannel(address, grpc::SslCredentials(options), arguments);
  GH_ASSIGN_OR_RETURN(UniqueKey key, certs::MintKey(certs::KeyType::kP256));
  v1::JoinRequest request;
  request.set_token(token.ToString());
  request.set_gateway(gateway_);
  GH_ASSIGN_OR_RETURN(*request.mutable_signing_request(), certs::MintSigningRequest(key.get()));
  // A token is good once: what it buys must not be lost to a full disk.
  GH_RETURN_IF_ERROR(WriteWhole(authority(), anchor_pem));
  const std::string room = identity() + ".room";
  GH_RETURN_IF_ERROR(WriteWhole(room, std::string(kRoom, '\n')));
  v1::JoinResponse response;
  grpc::ClientContext context;
  SetUp(&context);
  const grpc::Status joined = v1::GatewayService::NewStub(channel)->Join(&context, request, &response);
  unlink(room.c_str());
  GH_RETURN_IF_ERROR(FromGrpc(joined));
  GH_ASSIGN_OR_RETURN(const Secret key_pem, certs::KeyToPem(key.get()));
  const Secret both(absl::StrCat(key_pem.Reveal(), response.certificate_chain()));
  Enrolment next(folder_, gateway_);
  GH_RETURN_IF_ERROR(next.Take(both.Reveal()));  // what is good is not given up for what is not
  GH_RETURN_IF_ERROR(WriteWhole(identity(), both.Reveal()));
  *this = std::move(next);
  return absl::OkStatus();
}

absl::Status Enrolment::Renew(const std::shared_ptr<grpc::Channel>& channel) {
  Enrolment next(folder_, gateway_);
  if (unstored_.empty()) {
    GH_ASSIGN_OR_RETURN(UniqueKey key, certs::MintKey(certs::KeyType::kP256));
    v1::RenewCertificateRequest request;
    GH_ASSIGN_OR_RETURN(*request.mutable_signing_request(), certs::MintSigningRequest(key.get()));
    v1::JoinResponse response;
    grpc::ClientContext context;
    SetUp(&context);
    GH_RETURN_IF_ERROR(FromGrpc(v1::GatewayService::NewStub(channel)->RenewCertificate(&context, request, &response)));
    GH_ASSIGN_OR_RETURN(const Secret key_pem, certs::KeyToPem(key.get()));
    unstored_ = Secret(absl::StrCat(key_pem.Reveal(), response.certificate_chain()));
  }
  if (absl::Status good = next.Take(unstored_.Reveal()); !good.ok()) {
    unstored_ = Secret();
    return good;  // what is good is not given up for what is not
  }
  GH_RETURN_IF_ERROR(WriteWhole(identity(), unstored_.Reveal()));
  *this = std::move(next);
  return absl::OkStatus();
}

}  // namespace gatehouse::remote
