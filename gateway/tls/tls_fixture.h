// What the tests of this folder share: a server context with names of every kind, and clients in memory. For tests only.
#pragma once

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/tls/tls_session.h"
#include "gtest/gtest.h"

namespace gatehouse::tls {

inline UniqueKey NewKey() { return UniqueKey(EVP_EC_gen("P-256")); }

// A self-signed certificate: TLS judges nothing, so nothing more is needed here.
inline UniqueX509 NewCertificate(const std::string& name, EVP_PKEY* key) {
  UniqueX509 x(X509_new());
  X509_set_version(x.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x.get()), 7);
  X509_gmtime_adj(X509_getm_notBefore(x.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x.get()), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x.get(), X509_get_subject_name(x.get()));
  X509_set_pubkey(x.get(), key);
  X509_sign(x.get(), key, EVP_sha256());
  return x;
}

// One that is larger by this many octets.
inline UniqueX509 LargeCertificate(EVP_PKEY* key, size_t octets) {
  UniqueX509 x = NewCertificate("large", key);
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_netscape_comment, std::string(octets, 'x').c_str());
  X509_add_ext(x.get(), extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(x.get(), key, EVP_sha256());
  return x;
}

inline absl::Duration ThreadTime() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

struct Hooks : TlsHooks {
  Presented OnPresented(TlsSession&, absl::Span<X509* const> chain) override {
    if (meanwhile != nullptr) meanwhile();
    presented = chain.size();
    return answer;
  }
  std::optional<SessionBinding> MayStore(TlsSession& s) override {
    ++stores;
    if (!store) return std::nullopt;
    if (s.attached().user != nullptr) return s.attached();
    return SessionBinding{std::make_shared<std::string>("who"), 42};
  }
  bool MayResume(TlsSession&, const SessionRecord& r) override {
    return resume && (r.binding.user == nullptr || *static_cast<const std::string*>(r.binding.user.get()) == "who");
  }
  size_t presented = 0;
  std::function<void()> meanwhile;  // what the callback does besides
  std::shared_ptr<const void> Revive(TlsSession&, const std::vector<std::string>& ders) override {
    revived = ders;
    return std::make_shared<std::string>("who");
  }
  std::vector<std::string> revived;
  int stores = 0;
  Presented answer = Presented::kGoOn;
  bool store = true;
  bool resume = true;
};

struct ClientOptions {
  std::string sni = "a.test";
  bool certificate = false;
  int version = TLS1_3_VERSION;
  std::string alpn = "\x02h2";
  std::string groups;
  SSL_SESSION* session = nullptr;
  EVP_PKEY* key = nullptr;  // in place of the certificate's own
  std::vector<X509*> chain = {};  // sent after the certificate
  bool extended_master_secret = true;
};

class TlsFixture : public ::testing::Test {
 protected:
  TlsFixture() : cache_(std::make_shared<SessionCache>(100)) { MakeContext(); }

  NameConfig Name(const std::string& name, ClientCertificate mode) {
    NameConfig c;
    c.names = {name};
    c.key_pairs = {KeyPair{{server_cert_.get()}, server_key_.get()}};
    c.client_certificate = mode;
    c.session_context = Sha256(absl::StrCat(name, static_cast<int>(mode)));
    return c;
  }
  void MakeContext() {
    ServerContextOptions o;
    o.names = {Name("a.test", ClientCertificate::kNone), Name("b.test", ClientCertificate::kAllow),
               Name("c.test", ClientCertificate::kRequire), Name("*.wild.test", ClientCertificate::kRequire)};
    o.session_cache = cache_;
    o.clock = &clock_;
    Use(o);
  }
  void Use(const ServerContextOptions& o) {
    auto c = ServerContext::Create(o);
    ASSERT_TRUE(c.ok()) << c.status();
    context_ = *c;
  }

  // One client against one session, both in memory.
  struct Pair {
    std::unique_ptr<TlsSession> server;
    UniqueSslCtx ctx;
    UniqueSsl client;
    bool ok = false;
    int client_alert = -1;
    absl::Duration server_time = absl::ZeroDuration();  // of the processor, in the handshake
    UniqueSession session;  // the last one that the client was given
  };
  static int OnSession(SSL* ssl, SSL_SESSION* s) {
    static_cast<Pair*>(SSL_get_app_data(ssl))->session.reset(s);
    return 1;
  }
  static void OnInfo(const SSL* ssl, int where, int value) {
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value & 0xff) != SSL_AD_CLOSE_NOTIFY) {
      static_cast<Pair*>(SSL_get_app_data(ssl))->client_alert = value & 0xff;
    }
  }
  std::unique_ptr<Pair> Connect(const ClientOptions& o) {
    auto p = std::make_unique<Pair>();
    p->server = TlsSession::OverMemory(context_, &hooks_);
    p->ctx.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(p->ctx.get(), o.version);
    SSL_CTX_set_max_proto_version(p->ctx.get(), o.version);
    SSL_CTX_set_session_cache_mode(p->ctx.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (!o.extended_master_secret) SSL_CTX_set_options(p->ctx.get(), SSL_OP_NO_EXTENDED_MASTER_SECRET);
    SSL_CTX_sess_set_new_cb(p->ctx.get(), OnSession);
    SSL_CTX_set_info_callback(p->ctx.get(), OnInfo);
    if (o.certificate) {
      SSL_CTX_use_certificate(p->ctx.get(), client_cert_.get());
      SSL_CTX_use_PrivateKey(p->ctx.get(), o.key != nullptr ? o.key : client_key_.get());
      for (X509* x : o.chain) SSL_CTX_add1_chain_cert(p->ctx.get(), x);
    }
    p->client.reset(SSL_new(p->ctx.get()));
    SSL_set_app_data(p->client.get(), p.get());
    SSL_set_bio(p->client.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(p->client.get());
    if (!o.groups.empty()) SSL_set1_groups_list(p->client.get(), o.groups.c_str());
    if (!o.sni.empty()) SSL_set_tlsext_host_name(p->client.get(), o.sni.c_str());
    if (!o.alpn.empty()) {
      SSL_set_alpn_protos(p->client.get(), reinterpret_cast<const unsigned char*>(o.alpn.data()),
                          static_cast<unsigned>(o.alpn.size()));
    }
    if (o.session != nullptr) SSL_set_session(p->client.get(), o.session);
    for (int i = 0; i < 10; ++i) {
      SSL_do_handshake(p->client.get());
      Move(p.get());
      const absl::Duration begun = ThreadTime();
      p->server->Handshake();
      p->server_time += ThreadTime() - begun;
      Back(p.get());
    }
    char b[1];
    SSL_read(p->client.get(), b, 1);  // tickets and alerts
    ERR_clear_error();
    p->ok = p->server->state() == TlsSession::State::kOpen && SSL_is_init_finished(p->client.get());
    return p;
  }
  static void Move(Pair* p) {
    char b[65536];
    int n = BIO_read(SSL_get_wbio(p->client.get()), b, sizeof b);
    if (n > 0) p->server->Feed(absl::string_view(b, static_cast<size_t>(n)));
  }
  static void Back(Pair* p) {
    std::string out = p->server->TakeOutput();
    if (!out.empty()) BIO_write(SSL_get_rbio(p->client.get()), out.data(), static_cast<int>(out.size()));
  }
  static std::string ServerReads(Pair* p) {
    char b[4096];
    size_t n = 0;
    Move(p);
    return p->server->Read(absl::MakeSpan(b), &n) == IoStatus::kOk ? std::string(b, n) : "";
  }

  UniqueKey server_key_ = NewKey(), client_key_ = NewKey();
  UniqueX509 server_cert_ = NewCertificate("server", server_key_.get());
  UniqueX509 client_cert_ = NewCertificate("client", client_key_.get());
  FakeClock clock_;
  std::shared_ptr<SessionCache> cache_;
  std::shared_ptr<const ServerContext> context_;
  Hooks hooks_;
};

}  // namespace gatehouse::tls
