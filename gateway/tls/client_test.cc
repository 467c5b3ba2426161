// What an endpoint must prove, and what we prove to it: a real handshake over a socket pair.
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "gateway/tls/client_session.h"
#include "gateway/tls/tls_fixture.h"

namespace gatehouse::tls {
namespace {

struct Issued {
  UniqueKey key;
  UniqueX509 x;
};

// What a certificate says, besides its key.
struct Says {
  std::string san = "DNS:app.test";
  std::string eku = "serverAuth";
  int from = -3600, to = 3600;
  bool ca = false;
};

Issued Issue(const Says& says, const Issued* issuer) {
  Issued issued{NewKey(), nullptr};
  issued.x = NewCertificate(says.ca ? "authority" : "endpoint", issued.key.get());
  X509* x = issued.x.get();
  X509_gmtime_adj(X509_getm_notBefore(x), says.from);
  X509_gmtime_adj(X509_getm_notAfter(x), says.to);
  if (issuer != nullptr) X509_set_issuer_name(x, X509_get_subject_name(issuer->x.get()));
  const auto add = [x](int nid, const std::string& value) {
    if (value.empty()) return;
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
  };
  if (says.ca) {
    add(NID_basic_constraints, "critical,CA:TRUE");
  } else {
    add(NID_subject_alt_name, says.san);
    add(NID_ext_key_usage, says.eku);
  }
  X509_sign(x, issuer != nullptr ? issuer->key.get() : issued.key.get(), EVP_sha256());
  return issued;
}

Sha256Digest SpkiOf(X509* x) {
  unsigned char* der = nullptr;
  int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
  Sha256Digest digest = Sha256(absl::string_view(reinterpret_cast<char*>(der), static_cast<size_t>(n)));
  OPENSSL_free(der);
  return digest;
}

class ClientTest : public ::testing::Test {
 protected:
  struct Result {
    bool ok = false;
    bool resumed = false;
    std::string error;
    std::string sni;            // that the endpoint saw
    bool presented = false;     // we did, a certificate
  };

  ClientTest() { options_.authorities = {authority_.x.get()}; }

  void MakeContext() {
    auto context = ClientContext::Create(options_);
    ASSERT_TRUE(context.ok()) << context.status();
    context_ = *context;
  }

  // One handshake against an endpoint that presents `endpoint_`, then its greeting.
  Result Connect(const std::string& host = "app.test") {
    if (context_ == nullptr || !resume_) MakeContext();
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    if (server_ == nullptr) {
      server_.reset(SSL_CTX_new(TLS_server_method()));
      SSL_CTX_set_max_proto_version(server_.get(), version_);
      SSL_CTX_set_min_proto_version(server_.get(), TLS1_VERSION);
      SSL_CTX_set_session_id_context(server_.get(), reinterpret_cast<const unsigned char*>("x"), 1);
      if (!alpn_.empty()) SSL_CTX_set_alpn_select_cb(server_.get(), SelectAlpn, this);
      if (ask_) SSL_CTX_set_verify(server_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, [](int, X509_STORE_CTX*) { return 1; });
    }
    UniqueSsl server(SSL_new(server_.get()));
    SSL_use_certificate(server.get(), endpoint_.x.get());
    SSL_use_PrivateKey(server.get(), endpoint_.key.get());
    if (sent_with_ != nullptr) SSL_add1_chain_cert(server.get(), sent_with_);
    SSL_set_fd(server.get(), fds[1]);
    SSL_set_accept_state(server.get());
    ClientSession client(context_, host, "192.0.2.1:443", fds[0]);
    Result result;
    bool greeted = false;
    char buffer[64];
    for (int i = 0; i < 50 && !greeted && client.state() != ClientSession::State::kFailed; ++i) {
      client.Handshake();
      client.Flush();
      if (SSL_do_handshake(server.get()) == 1 && !greeted) {
        SSL_write(server.get(), "hello", 5);
      }
      ERR_clear_error();
      size_t n = 0;
      if (client.Read(buffer, sizeof(buffer), &n) == IoStatus::kOk) greeted = std::string(buffer, n).substr(0, 5) == "hello";
    }
    result.ok = greeted;
    result.resumed = greeted && client.resumed();
    result.error = client.error();
    const char* name = SSL_get_servername(server.get(), TLSEXT_NAMETYPE_host_name);
    result.sni = name == nullptr ? "" : name;
    result.presented = SSL_get0_peer_certificate(server.get()) != nullptr;
    client.Shutdown();
    SSL_set_shutdown(server.get(), SSL_SENT_SHUTDOWN);
    server.reset();
    close(fds[0]);
    close(fds[1]);
    return result;
  }
  static int SelectAlpn(SSL*, const unsigned char** out, unsigned char* size, const unsigned char*, unsigned, void* self) {
    const std::string& alpn = static_cast<ClientTest*>(self)->alpn_;
    *out = reinterpret_cast<const unsigned char*>(alpn.data());
    *size = static_cast<unsigned char>(alpn.size());
    return SSL_TLSEXT_ERR_OK;
  }
  void Refuses(absl::string_view why, const std::string& host = "app.test") {
    Result result = Connect(host);
    EXPECT_FALSE(result.ok) << "let in";
    EXPECT_TRUE(absl::StrContains(result.error, why)) << result.error;
  }

  Issued authority_ = Issue({.to = 360000, .ca = true}, nullptr);
  Issued endpoint_ = Issue({}, &authority_);
  X509* sent_with_ = nullptr;
  ClientContextOptions options_;
  std::shared_ptr<const ClientContext> context_;
  UniqueSslCtx server_;
  int version_ = TLS1_3_VERSION;
  std::string alpn_;
  bool ask_ = false;
  bool resume_ = false;  // the sessions of the handshakes before are kept
};

TEST_F(ClientTest, AnEndpointOfTheAuthorityThatBearsTheNameIsBelieved) {
  Result result = Connect();
  EXPECT_TRUE(result.ok) << result.error;
  EXPECT_EQ(result.sni, "app.test");
  EXPECT_FALSE(result.presented);
}

TEST_F(ClientTest, WithoutAuthoritiesAndPinsThereIsNoContext) {
  options_.authorities.clear();
  EXPECT_FALSE(ClientContext::Create(options_).ok());
}

TEST_F(ClientTest, AnotherAuthoritysIsRefused) {
  Issued other = Issue({.ca = true}, nullptr);
  endpoint_ = Issue({}, &other);
  Refuses("the certificate is refused");
}

TEST_F(ClientTest, ASelfSignedOneIsRefused) {
  endpoint_ = Issue({}, nullptr);
  Refuses("the certificate is refused");
}

TEST_F(ClientTest, AnAuthorityIsNoEndpoint) {
  endpoint_ = Issue({}, nullptr);
  options_.authorities = {endpoint_.x.get()};
  Refuses("an authority's own");
  options_.spki_pins = {SpkiOf(endpoint_.x.get())};
  EXPECT_TRUE(Connect().ok) << "it is pinned too";
}

TEST_F(ClientTest, ExpiredNotYetValidAndOfAnotherUseAreRefused) {
  for (const Says& says : {Says{.from = -7200, .to = -3600}, Says{.from = 3600, .to = 7200}, Says{.eku = "clientAuth"}}) {
    endpoint_ = Issue(says, &authority_);
    Refuses("the certificate is refused");
  }
}

TEST_F(ClientTest, TheNameMustBeBorneByAnEntryAndNeverByTheSubject) {
  endpoint_ = Issue({.san = "DNS:other.test"}, &authority_);
  Refuses("does not bear the name app.test");
  endpoint_ = Issue({.san = ""}, &authority_);
  Refuses("does not bear the name endpoint", "endpoint");  // which its subject says
}

TEST_F(ClientTest, AWildcardStandsForTheWholeLeftmostLabelAlone) {
  endpoint_ = Issue({.san = "DNS:*.app.test"}, &authority_);
  EXPECT_TRUE(Connect("one.app.test").ok);
  Refuses("does not bear", "one.two.app.test");
  Refuses("does not bear", "app.test");
  endpoint_ = Issue({.san = "DNS:o*.app.test"}, &authority_);
  Refuses("does not bear", "one.app.test");
  endpoint_ = Issue({.san = "DNS:one.*.test"}, &authority_);
  Refuses("does not bear", "one.app.test");
}

TEST_F(ClientTest, AnAddressIsProvenByAnAddressAndAskedForWithoutAName) {
  endpoint_ = Issue({.san = "IP:192.0.2.1,IP:2001:db8::1"}, &authority_);
  Result result = Connect("192.0.2.1");
  EXPECT_TRUE(result.ok) << result.error;
  EXPECT_EQ(result.sni, "");
  EXPECT_TRUE(Connect("2001:db8::1").ok);
  Refuses("does not bear", "192.0.2.2");
  endpoint_ = Issue({.san = "DNS:192.0.2.1"}, &authority_);
  Refuses("does not bear", "192.0.2.1");
}

TEST_F(ClientTest, ServerNameAndVerifyNamesTakeTheHostsPlace) {
  options_.server_name = "inner.test";
  endpoint_ = Issue({.san = "DNS:inner.test"}, &authority_);
  Result result = Connect("192.0.2.1");
  EXPECT_TRUE(result.ok) << result.error;
  EXPECT_EQ(result.sni, "inner.test");
  options_.verify_names = {"a.test", "b.test"};
  Refuses("does not bear the name a.test or b.test");
  endpoint_ = Issue({.san = "DNS:b.test"}, &authority_);
  EXPECT_TRUE(Connect().ok);
}

TEST_F(ClientTest, APinIsDemandedBesidesTheAuthority) {
  options_.spki_pins = {SpkiOf(endpoint_.x.get())};
  EXPECT_TRUE(Connect().ok);
  endpoint_ = Issue({}, &authority_);
  Refuses("none of those that are pinned");
}

TEST_F(ClientTest, APinAloneProvesTheKeyWhateverTheNameButNotForAnotherUseOrTime) {
  options_.authorities.clear();
  endpoint_ = Issue({.san = "DNS:other.test"}, nullptr);
  options_.spki_pins = {SpkiOf(endpoint_.x.get())};
  EXPECT_TRUE(Connect().ok);
  options_.verify_names = {"app.test"};
  Refuses("does not bear the name app.test");
  options_.verify_names.clear();
  for (const Says& says : {Says{.from = -7200, .to = -3600}, Says{.from = 3600, .to = 7200}, Says{.eku = "clientAuth"}}) {
    endpoint_ = Issue(says, nullptr);
    options_.spki_pins = {SpkiOf(endpoint_.x.get())};
    Refuses("the certificate");
  }
  endpoint_ = Issue({}, nullptr);
  Refuses("none of those that are pinned");
}

TEST_F(ClientTest, IntermediatesOfOursHelpToFindThePathAndProveNothing) {
  Issued between = Issue({.ca = true}, &authority_);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(between.x.get()), "O", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("between"), -1, -1, 0);
  X509_sign(between.x.get(), authority_.key.get(), EVP_sha256());
  endpoint_ = Issue({}, &between);
  Refuses("the certificate is refused");
  options_.intermediates = {between.x.get()};
  EXPECT_TRUE(Connect().ok);
  options_.authorities = {endpoint_.x.get()};  // anything but the root
  EXPECT_FALSE(Connect().ok);
}

TEST_F(ClientTest, WeProveWhoWeAreWhereThatIsAsked) {
  ask_ = true;
  Result result = Connect();
  EXPECT_FALSE(result.presented);
  EXPECT_FALSE(result.ok);
  EXPECT_TRUE(absl::StrContains(result.error, "alert")) << result.error;
  Issued ours = Issue({.eku = "clientAuth"}, &authority_);
  options_.identity = KeyPair{{ours.x.get()}, ours.key.get()};
  result = Connect();
  EXPECT_TRUE(result.ok) << result.error;
  EXPECT_TRUE(result.presented);
}

TEST_F(ClientTest, OldVersionsAreNotSpoken) {
  version_ = TLS1_1_VERSION;
  EXPECT_FALSE(Connect().ok);
}

TEST_F(ClientTest, TheProtocolMustBeTheOneThatIsAskedFor) {
  EXPECT_TRUE(Connect().ok) << "HTTP/1.1 needs no ALPN";
  options_.http2 = true;
  Refuses("does not speak HTTP/2");
  server_ = nullptr;
  alpn_ = "h2";
  EXPECT_TRUE(Connect().ok);
}

TEST_F(ClientTest, ASessionIsResumedWithTheSameEndpointAndForAnHourAtMost) {
  FakeClock clock(absl::Now());
  resume_ = true;
  options_.clock = &clock;
  for (int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    version_ = version;
    server_ = nullptr;
    context_ = nullptr;
    EXPECT_FALSE(Connect().resumed);
    EXPECT_TRUE(Connect().resumed) << version;
    EXPECT_FALSE(Connect("other.test").ok) << "the session is not believed for another name";
    clock.Advance(absl::Minutes(50));
    EXPECT_TRUE(Connect().resumed);
    clock.Set(absl::Now());
  }
  // Resuming does not put off the next full handshake.
  endpoint_ = Issue({.to = 36000}, &authority_);
  version_ = TLS1_3_VERSION;
  server_ = nullptr;
  context_ = nullptr;
  Connect();
  for (int i = 0; i < 2; ++i) {
    clock.Advance(absl::Minutes(25));
    EXPECT_TRUE(Connect().resumed);
  }
  clock.Advance(absl::Minutes(25));
  Result result = Connect();
  EXPECT_TRUE(result.ok);
  EXPECT_FALSE(result.resumed);
}

TEST_F(ClientTest, AnEndpointThatOnlyUpdatesItsKeysIsEnded) {
  MakeContext();
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  UniqueSslCtx context(SSL_CTX_new(TLS_server_method()));
  UniqueSsl server(SSL_new(context.get()));
  SSL_use_certificate(server.get(), endpoint_.x.get());
  SSL_use_PrivateKey(server.get(), endpoint_.key.get());
  SSL_set_fd(server.get(), fds[1]);
  SSL_set_accept_state(server.get());
  ClientSession client(context_, "app.test", "192.0.2.1:443", fds[0]);
  for (int i = 0; i < 10; ++i) {
    client.Handshake();
    client.Flush();
    SSL_do_handshake(server.get());
  }
  ERR_clear_error();
  ASSERT_EQ(client.state(), ClientSession::State::kOpen) << client.error();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(SSL_key_update(server.get(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(server.get()), 1);
  }
  char buffer[64];
  size_t n = 0;
  EXPECT_EQ(client.Read(buffer, sizeof(buffer), &n), IoStatus::kFailed);
  EXPECT_TRUE(absl::StrContains(client.error(), "key updates")) << client.error();
  close(fds[0]);
  close(fds[1]);
}

}  // namespace
}  // namespace gatehouse::tls
