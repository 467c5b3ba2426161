#include "control/api/tls_files.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <atomic>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/server_credential.h"

namespace gatehouse::api {
namespace {

absl::StatusOr<std::string> ReadFile(absl::string_view option, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!(text << file.rdbuf()) || text.str().empty()) {
    return absl::NotFoundError(absl::StrCat(option, ": cannot read ", path));
  }
  return text.str();
}

absl::StatusOr<UniqueStore> StoreOf(const std::vector<certs::CertificateRef>& authorities) {
  UniqueStore store(X509_STORE_new());
  for (const certs::CertificateRef& authority : authorities) {
    if (X509_STORE_add_cert(store.get(), authority->x509()) != 1) return OpenSslError("cannot take an authority");
  }
  // As in the handshake: a client's certificate, and an intermediate in the file is an authority too.
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  X509_STORE_set_purpose(store.get(), X509_PURPOSE_SSL_CLIENT);
  return store;
}

bool Leads(X509_STORE* store, const std::vector<certs::CertificateRef>& chain) {
  if (store == nullptr) return false;
  UniqueX509Stack untrusted(sk_X509_new_null());
  for (const certs::CertificateRef& one : chain) {
    X509_up_ref(one->x509());
    sk_X509_push(untrusted.get(), one->x509());
  }
  UniqueStoreCtx context(X509_STORE_CTX_new());
  const bool leads = X509_STORE_CTX_init(context.get(), store, chain.front()->x509(), untrusted.get()) == 1 &&
                     X509_verify_cert(context.get()) == 1;
  if (!leads) TakeOpenSslError();
  return leads;
}

absl::Status About(absl::string_view what, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", status.message()));
}

}  // namespace

// gRPC 1.51 has no C++ wrapper of its config fetcher. The fetcher's state belongs to the processor of metadata, which
// gRPC destroys with its credentials: handshakes may outlive the server object.
class FilesCredentials final : public grpc::ServerCredentials {
 public:
  FilesCredentials(std::shared_ptr<TlsFiles> files, std::shared_ptr<const Callers> callers, bool anybody) {
    auto* state = new State{std::move(files), std::move(callers), nullptr};
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            anybody ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                    : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
            Fetch, state));
    grpc_server_credentials_set_auth_metadata_processor(
        credentials_, {CheckName, [](void* s) { delete static_cast<State*>(s); }, state});
  }
  ~FilesCredentials() override { grpc_server_credentials_release(credentials_); }
  // Names are checked by a processor of our own.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  struct State {
    const std::shared_ptr<TlsFiles> files;
    const std::shared_ptr<const Callers> callers;
    std::shared_ptr<const TlsFiles::Content> given;  // under the lock that gRPC holds around Fetch
  };

  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(void* s, grpc_ssl_server_certificate_config** config) {
    auto* state = static_cast<State*>(s);
    std::shared_ptr<const TlsFiles::Content> now;
    {
      MutexLock lock(&state->files->mutex_);
      now = state->files->content_;
    }
    if (now == state->given) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    grpc_ssl_pem_key_cert_pair pair{now->key.Reveal().data(), now->chain.c_str()};
    *config = grpc_ssl_server_certificate_config_create(now->client_ca.c_str(), &pair, 1);
    state->given = std::move(now);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  // Refuses strangers before any handler, those of health and reflection included.
  static void CheckName(void* s, grpc_auth_context* context, const grpc_metadata* metadata, size_t count,
                        grpc_process_auth_metadata_done_cb done, void* user_data) {
    absl::string_view path;
    for (size_t i = 0; i < count; ++i) {
      if (grpc_slice_str_cmp(metadata[i].key, ":path") != 0) continue;
      path = absl::string_view(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(metadata[i].value)),
                               GRPC_SLICE_LENGTH(metadata[i].value));
    }
    const absl::Status passes = static_cast<State*>(s)->callers->MayPass(Identify(context), path);
    done(user_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(passes.code()),
         passes.ok() ? nullptr : std::string(passes.message()).c_str());
  }

  grpc_server_credentials* credentials_;
};

absl::StatusOr<std::shared_ptr<TlsFiles>> TlsFiles::Load(TlsPaths paths, std::string gateways) {
  std::shared_ptr<TlsFiles> files(new TlsFiles(std::move(paths), std::move(gateways)));
  absl::StatusOr<std::string> loaded = files->Reload();
  if (!loaded.ok()) return loaded.status();
  return files;
}

absl::StatusOr<std::string> TlsFiles::Reload() {
  auto content = std::make_shared<Content>();
  GH_ASSIGN_OR_RETURN(content->chain, ReadFile("--tls-cert", paths_.certificate));
  GH_ASSIGN_OR_RETURN(std::string key, ReadFile("--tls-key", paths_.key));
  content->key = Secret(std::move(key));
  GH_ASSIGN_OR_RETURN(content->client_ca, ReadFile("--client-ca", paths_.client_ca));

  absl::StatusOr<certs::ServerCredentialRef> credential =
      certs::ServerCredential::FromPem("control API", content->chain, content->key.Reveal());
  if (!credential.ok()) {
    return About(absl::StrCat("--tls-cert ", paths_.certificate, ", --tls-key ", paths_.key), credential.status());
  }
  absl::StatusOr<std::vector<certs::CertificateRef>> authorities = certs::Certificate::ListFromPem(content->client_ca);
  if (!authorities.ok()) return About(absl::StrCat("--client-ca ", paths_.client_ca), authorities.status());
  GH_ASSIGN_OR_RETURN(content->clients, StoreOf(*authorities));
  if (!gateways_.empty()) {
    GH_ASSIGN_OR_RETURN(auto own, certs::Certificate::ListFromPem(gateways_));
    GH_ASSIGN_OR_RETURN(content->gateways, StoreOf(own));
    absl::StrAppend(&content->client_ca, "\n", gateways_);
  }

  MutexLock lock(&mutex_);
  if (content_ != nullptr && content_->chain == content->chain && content_->client_ca == content->client_ca &&
      ConstantTimeEquals(content_->key.Reveal(), content->key.Reveal())) {
    return std::string();
  }
  content_ = std::move(content);
  return absl::StrCat(EscapeText((*credential)->leaf().subject()), ", SHA-256 ", HexLower(AsView((*credential)->leaf().sha256())).substr(0, 16),
                      "…, and ", authorities->size(), authorities->size() == 1 ? " authority" : " authorities",
                      " of clients");
}

absl::StatusOr<Voucher> TlsFiles::Vouch(const std::string& chain_pem) const {
  std::shared_ptr<const Content> content;
  {
    MutexLock lock(&mutex_);
    content = content_;
  }
  absl::StatusOr<std::vector<certs::CertificateRef>> chain = certs::Certificate::ListFromPem(chain_pem);
  if (!chain.ok()) return absl::PermissionDeniedError("the client certificate cannot be read");
  if (Leads(content->clients.get(), *chain)) return Voucher::kClients;
  if (Leads(content->gateways.get(), *chain)) return Voucher::kGateways;
  return absl::PermissionDeniedError(
      "no authority of the control API vouches for the client certificate any more: it expired, or --client-ca changed");
}

std::shared_ptr<grpc::ServerCredentials> TlsFiles::Credentials(std::shared_ptr<const Callers> callers, bool anybody) {
  return std::make_shared<FilesCredentials>(shared_from_this(), std::move(callers), anybody);
}

}  // namespace gatehouse::api
