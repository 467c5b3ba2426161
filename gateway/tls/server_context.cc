#include "gateway/tls/server_context.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"
#include "gateway/tls/callbacks.h"

namespace gatehouse::tls {
namespace {

const Clock& System() {
  static const SystemClock clock;
  return clock;
}

absl::Status Bad(absl::string_view name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("server name \"", name, "\": ", why));
}

absl::Status UsePair(SSL_CTX* ctx, const KeyPair& pair, absl::string_view label) {
  if (pair.chain.empty() || pair.chain.front() == nullptr || pair.key == nullptr) {
    return Bad(label, "a certificate without its key, or a key without certificate");
  }
  UniqueX509Stack rest(sk_X509_new_null());
  for (size_t i = 1; i < pair.chain.size(); ++i) {
    X509_up_ref(pair.chain[i]);
    sk_X509_push(rest.get(), pair.chain[i]);
  }
  if (X509_check_private_key(pair.chain.front(), pair.key) != 1) {
    TakeOpenSslError();
    return Bad(label, "the private key does not belong to the certificate");
  }
  // override = 0: two pairs of one key type are a mistake.
  if (SSL_CTX_use_cert_and_key(ctx, pair.chain.front(), pair.key, rest.get(), 0) != 1) {
    return Bad(label, absl::StrCat("certificate refused: ", TakeOpenSslError()));
  }
  return absl::OkStatus();
}

}  // namespace

ServerContext::~ServerContext() = default;

absl::StatusOr<std::shared_ptr<const ServerContext>> ServerContext::Create(const ServerContextOptions& options) {
  std::shared_ptr<ServerContext> context(new ServerContext());
  GH_RETURN_IF_ERROR(context->Build(options));
  return std::shared_ptr<const ServerContext>(std::move(context));
}

absl::Status ServerContext::Build(const ServerContextOptions& options) {
  if (options.names.empty()) return absl::InvalidArgumentError("a listener needs at least one server certificate");
  session_cache_ = options.session_cache;
  ticket_keys_ = options.ticket_keys;
  session_lifetime_ = options.session_lifetime;
  clock_ = options.clock != nullptr ? options.clock : &System();
  refuse_unknown_names_ = options.refuse_unknown_names;
  http2_ = options.http2;
  for (size_t i = 0; i < options.names.size(); ++i) {
    GH_RETURN_IF_ERROR(BuildName(options.names[i], i, options));
  }
  return absl::OkStatus();
}

absl::Status ServerContext::BuildName(const NameConfig& config, size_t index, const ServerContextOptions& options) {
  if (config.unchanged && options.previous != nullptr && index < options.previous->names_.size()) {
    names_.push_back(options.previous->names_[index]);
    return AddNames(config);
  }
  std::string label = config.names.empty() ? "(default)" : config.names.front();
  if (config.names.empty() && index != 0) return Bad(label, "only the first configuration may have no name");
  if (config.key_pairs.empty()) return Bad(label, "no server certificate");
  if (config.min_version < TLS1_2_VERSION || config.max_version > TLS1_3_VERSION ||
      config.min_version > config.max_version) {
    return Bad(label, "TLS versions must be 1.2 to 1.3, the lower one first");
  }
  auto name = std::make_shared<Name>();
  name->index = index;
  name->client_certificate = config.client_certificate;
  name->session_context = config.session_context;
  name->min_version = config.min_version;
  name->max_version = config.max_version;
  name->ctx.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* ctx = name->ctx.get();
  if (ctx == nullptr) return OpenSslError("SSL_CTX_new");
  if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
      SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") != 1 ||
      SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, const_cast<char*>("X25519:P-256:P-384")) != 1) {
    return OpenSslError("TLS defaults");
  }
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_NO_TICKET | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_clear_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_max_early_data(ctx, 0);
  SSL_CTX_set_max_cert_list(ctx, kMaxPresentedBytes);
  SSL_CTX_set_session_id_context(ctx, config.session_context.data(),
                                 static_cast<unsigned>(config.session_context.size()));
  if (session_cache_ == nullptr) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
  } else {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
                                            SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_sess_set_new_cb(ctx, SessionCallbacks::NewSession);
    SSL_CTX_sess_set_get_cb(ctx, SessionCallbacks::GetSession);
    SSL_CTX_set_num_tickets(ctx, static_cast<size_t>(std::max(options.tickets, 0)));
    SSL_CTX_set_timeout(ctx, static_cast<long>(absl::ToInt64Seconds(options.session_lifetime)));
  }
  // A ticket outlives no session of ours, and is opened only where it was sealed for.
  if (ticket_keys_ != nullptr) {
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, SessionCallbacks::TicketKeyOf);
    SSL_CTX_set_session_ticket_cb(ctx, SessionCallbacks::SealTicket, SessionCallbacks::OpenTicket, nullptr);
  }
  SSL_CTX_set_client_hello_cb(ctx, SessionCallbacks::ClientHello, nullptr);
  SSL_CTX_set_alpn_select_cb(ctx, SessionCallbacks::Alpn, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, SessionCallbacks::Verify, nullptr);
  SSL_CTX_set_info_callback(ctx, SessionCallbacks::Info);
  SSL_CTX_set_msg_callback(ctx, SessionCallbacks::Message);

  for (const KeyPair& pair : config.key_pairs) GH_RETURN_IF_ERROR(UsePair(ctx, pair, label));
  if (!config.ca_hints.empty()) {
    STACK_OF(X509_NAME)* list = sk_X509_NAME_new_null();
    for (const std::string& der : config.ca_hints) {
      const auto* p = reinterpret_cast<const unsigned char*>(der.data());
      X509_NAME* dn = d2i_X509_NAME(nullptr, &p, static_cast<long>(der.size()));
      if (dn == nullptr) {
        sk_X509_NAME_pop_free(list, X509_NAME_free);
        TakeOpenSslError();
        return Bad(label, "a CA hint is not a distinguished name");
      }
      sk_X509_NAME_push(list, dn);
    }
    SSL_CTX_set_client_CA_list(ctx, list);
  }
  names_.push_back(std::move(name));
  return AddNames(config);
}

// For the configuration that was added last.
absl::Status ServerContext::AddNames(const NameConfig& config) {
  for (const std::string& raw : config.names) {
    std::string n = absl::AsciiStrToLower(raw);
    bool wild = absl::StartsWith(n, "*.");
    std::string key = wild ? n.substr(1) : n;
    if (key.empty() || key == "." || key.find('*') != std::string::npos || absl::EndsWith(key, ".")) {
      return Bad(raw, "not a host name or *.suffix");
    }
    if (!(wild ? wildcard_ : exact_).emplace(key, names_.back().get()).second) return Bad(raw, "configured twice");
  }
  return absl::OkStatus();
}

const ServerContext::Name* ServerContext::Find(absl::string_view sni) const {
  if (!sni.empty()) {
    std::string lower = absl::AsciiStrToLower(sni);
    if (auto it = exact_.find(lower); it != exact_.end()) return it->second;
    size_t dot = lower.find('.');
    if (dot != std::string::npos && dot > 0) {
      if (auto it = wildcard_.find(absl::string_view(lower).substr(dot)); it != wildcard_.end()) return it->second;
    }
    if (refuse_unknown_names_) return nullptr;
  }
  return names_.front().get();
}

}  // namespace gatehouse::tls
