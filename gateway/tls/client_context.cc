#include "gateway/tls/client_context.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/base/status.h"
#include "gateway/tls/client_session.h"

namespace gatehouse::tls {
namespace {

constexpr absl::Duration kSessionLife = absl::Hours(1);
constexpr size_t kMaxSessions = 1024;
constexpr int kMaxDepth = 10;

const Clock& System() {
  static const SystemClock clock;
  return clock;
}

bool IsIp(const std::string& name) {
  char octets[16];
  return inet_pton(AF_INET, name.c_str(), octets) == 1 || inet_pton(AF_INET6, name.c_str(), octets) == 1;
}

// RFC 9525 6.3: a wildcard stands for the whole leftmost label; what the subject says is no name.
bool Bears(X509* leaf, const std::string& name) {
  if (IsIp(name)) return X509_check_ip_asc(leaf, name.c_str(), 0) == 1;
  return X509_check_host(leaf, name.data(), name.size(),
                         X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1;
}

Sha256Digest DigestOf(int n, unsigned char* der) {
  if (n <= 0) return {};
  const Sha256Digest digest = Sha256(absl::string_view(reinterpret_cast<const char*>(der), static_cast<size_t>(n)));
  OPENSSL_free(der);
  return digest;
}

Sha256Digest SpkiDigest(X509* x) {
  unsigned char* der = nullptr;
  const int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
  return DigestOf(n, der);
}

Sha256Digest CertificateDigest(X509* x) {
  unsigned char* der = nullptr;
  const int n = i2d_X509(x, &der);
  return DigestOf(n, der);
}

std::string Refused(X509_STORE_CTX* ctx, int error, std::string why) {
  X509_STORE_CTX_set_error(ctx, error);
  return why;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ClientContext>> ClientContext::Create(const ClientContextOptions& options) {
  std::shared_ptr<ClientContext> context(new ClientContext());
  GH_RETURN_IF_ERROR(context->Build(options));
  return std::shared_ptr<const ClientContext>(std::move(context));
}

absl::Status ClientContext::Build(const ClientContextOptions& options) {
  if (options.authorities.empty() && options.spki_pins.empty()) {
    return absl::InvalidArgumentError("without authorities and pins no endpoint could prove who it is");
  }
  http2_ = options.http2;
  server_name_ = options.server_name;
  verify_names_ = options.verify_names;
  clock_ = options.clock != nullptr ? options.clock : &System();
  pins_.insert(options.spki_pins.begin(), options.spki_pins.end());
  intermediates_.reset(sk_X509_new_null());
  for (X509* x : options.intermediates) {
    X509_up_ref(x);
    sk_X509_push(intermediates_.get(), x);
  }
  ctx_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* ctx = ctx_.get();
  if (ctx == nullptr) return OpenSslError("SSL_CTX_new");
  if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
      SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") != 1 ||
      SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, const_cast<char*>("X25519:P-256:P-384")) != 1) {
    return OpenSslError("TLS defaults");
  }
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_clear_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_max_cert_list(ctx, kMaxPresentedBytes);
  X509_STORE* store = SSL_CTX_get_cert_store(ctx);
  for (X509* x : options.authorities) {
    if (X509_STORE_add_cert(store, x) != 1) return OpenSslError("an authority's certificate");
    authorities_.insert(CertificateDigest(x));
  }
  // An anchor need not be self-signed.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_verify_depth(ctx, kMaxDepth);
  SSL_CTX_set_cert_verify_callback(ctx, Verify, nullptr);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, OnSession);
  const absl::string_view alpn = http2_ ? absl::string_view("\x02h2") : absl::string_view("\x08http/1.1");
  if (SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(alpn.data()),
                              static_cast<unsigned>(alpn.size())) != 0) {
    return OpenSslError("ALPN");
  }
  if (options.identity.chain.empty()) return absl::OkStatus();
  UniqueX509Stack rest(sk_X509_new_null());
  for (size_t i = 1; i < options.identity.chain.size(); ++i) {
    X509_up_ref(options.identity.chain[i]);
    sk_X509_push(rest.get(), options.identity.chain[i]);
  }
  if (SSL_CTX_use_cert_and_key(ctx, options.identity.chain.front(), options.identity.key, rest.get(), 0) != 1) {
    return OpenSslError("client certificate");
  }
  return absl::OkStatus();
}

int ClientContext::Verify(X509_STORE_CTX* ctx, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* session = static_cast<ClientSession*>(SSL_get_app_data(ssl));
  session->refused_ = session->context_->Judge(ctx, session->host_);
  if (session->refused_.empty()) return 1;
  if (X509_STORE_CTX_get_error(ctx) == X509_V_OK) X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

std::string ClientContext::Judge(X509_STORE_CTX* ctx, const std::string& host) const {
  X509* leaf = X509_STORE_CTX_get0_cert(ctx);
  if (leaf == nullptr) return Refused(ctx, X509_V_ERR_UNSPECIFIED, "it presented no certificate");
  X509_STORE_CTX_set_time(ctx, 0, absl::ToTimeT(clock_->Now()));
  std::string why = authorities_.empty() ? JudgePinned(leaf, ctx) : JudgePath(leaf, ctx);
  if (!why.empty()) return why;
  if (!pins_.empty() && !pins_.contains(SpkiDigest(leaf))) {
    return Refused(ctx, X509_V_ERR_CERT_REJECTED, "the certificate's key is none of those that are pinned");
  }
  if (authorities_.empty() && verify_names_.empty()) return "";
  std::vector<std::string> names = verify_names_;
  if (names.empty()) names.push_back(server_name_.empty() ? host : server_name_);
  if (std::any_of(names.begin(), names.end(), [leaf](const std::string& name) { return Bears(leaf, name); })) return "";
  return Refused(ctx, X509_V_ERR_HOSTNAME_MISMATCH,
                 absl::StrCat("the certificate does not bear the name ", absl::StrJoin(names, " or ")));
}

std::string ClientContext::JudgePath(X509* leaf, X509_STORE_CTX* ctx) const {
  STACK_OF(X509)* presented = X509_STORE_CTX_get0_untrusted(ctx);
  // A stack of borrowed pointers.
  STACK_OF(X509)* all = presented == nullptr ? sk_X509_new_null() : sk_X509_dup(presented);
  for (int i = 0; i < sk_X509_num(intermediates_.get()); ++i) sk_X509_push(all, sk_X509_value(intermediates_.get(), i));
  X509_STORE_CTX_set0_untrusted(ctx, all);
  const int r = X509_verify_cert(ctx);
  X509_STORE_CTX_set0_untrusted(ctx, presented);
  sk_X509_free(all);
  if (r != 1) {
    return absl::StrCat("the certificate is refused: ",
                        X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
  }
  // With PARTIAL_CHAIN OpenSSL believes it; but an authority issues, and is no endpoint itself unless it is pinned too.
  if (authorities_.contains(CertificateDigest(leaf)) && !pins_.contains(SpkiDigest(leaf))) {
    return Refused(ctx, X509_V_ERR_CERT_UNTRUSTED,
                   "the certificate is an authority's own; pin its key with spki_sha256 if that is meant");
  }
  return "";
}

std::string ClientContext::JudgePinned(X509* leaf, X509_STORE_CTX* ctx) const {
  time_t now = absl::ToTimeT(clock_->Now());
  if (X509_cmp_time(X509_get0_notBefore(leaf), &now) >= 0) {
    return Refused(ctx, X509_V_ERR_CERT_NOT_YET_VALID, "the certificate is not valid yet");
  }
  if (X509_cmp_time(X509_get0_notAfter(leaf), &now) <= 0) {
    return Refused(ctx, X509_V_ERR_CERT_HAS_EXPIRED, "the certificate has expired");
  }
  if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1) {
    return Refused(ctx, X509_V_ERR_INVALID_PURPOSE, "the certificate is not for servers");
  }
  return "";
}

int ClientContext::OnSession(SSL* ssl, SSL_SESSION* session) {
  auto* from = static_cast<ClientSession*>(SSL_get_app_data(ssl));
  const ClientContext& context = *from->context_;
  if (SSL_SESSION_is_resumable(session) != 1) return 0;
  // A resumption never asks for the certificate again (RFC 8446 2.2): what it leads to lasts no longer than itself.
  absl::Time until = from->resumed_until_;
  if (SSL_session_reused(ssl) != 1) {
    X509* leaf = SSL_SESSION_get0_peer(session);
    tm end{};
    if (leaf == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &end) != 1) return 0;
    until = std::min(context.clock_->Now() + kSessionLife, absl::FromTimeT(timegm(&end)));
  }
  MutexLock lock(&context.mutex_);
  if (context.sessions_.size() >= kMaxSessions && !context.sessions_.contains(from->peer_)) context.sessions_.clear();
  Saved& saved = context.sessions_[from->peer_];
  saved.session.reset(session);  // ours now, as the 1 says
  saved.until = until;
  return 1;
}

ClientContext::Saved ClientContext::TakeSession(const std::string& peer) const {
  MutexLock lock(&mutex_);
  auto it = sessions_.find(peer);
  if (it == sessions_.end()) return {};
  Saved saved = std::move(it->second);
  sessions_.erase(it);
  if (saved.until <= clock_->Now()) return {};
  if (SSL_SESSION_get_protocol_version(saved.session.get()) < TLS1_3_VERSION) {
    // Each TLS 1.3 session is for one connection (RFC 8446 C.4); one of TLS 1.2 leads to no new one.
    SSL_SESSION_up_ref(saved.session.get());
    sessions_[peer] = Saved{UniqueSession(saved.session.get()), saved.until};
  }
  return saved;
}

}  // namespace gatehouse::tls
