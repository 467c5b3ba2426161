#include "gateway/tls/tls_session.h"

#include "gateway/tls/impostor_key.h"
#include "gateway/tls/tls_fixture.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::tls {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TlsTest : public TlsFixture, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Versions, TlsTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

TEST_P(TlsTest, CarriesDataBothWays) {
  auto p = Connect({.version = GetParam()});
  ASSERT_TRUE(p->ok) << p->server->error().text;
  EXPECT_EQ(p->server->sni(), "a.test");
  EXPECT_TRUE(p->server->alpn_h2());
  SSL_write(p->client.get(), "ping", 4);
  EXPECT_EQ(ServerReads(p.get()), "ping");
  EXPECT_EQ(p->server->Write("pong"), IoStatus::kOk);
  Back(p.get());
  char b[10];
  ASSERT_EQ(SSL_read(p->client.get(), b, sizeof b), 4);
  EXPECT_EQ(std::string(b, 4), "pong");
  p->server->Shutdown();
  Back(p.get());
  EXPECT_EQ(SSL_read(p->client.get(), b, sizeof b), 0);
  EXPECT_EQ(SSL_get_error(p->client.get(), 0), SSL_ERROR_ZERO_RETURN);
}

TEST_P(TlsTest, WithoutAlpnItIsHttp1AndWithoutOverlapTheHandshakeFails) {
  auto none = Connect({.version = GetParam(), .alpn = ""});
  ASSERT_TRUE(none->ok);
  EXPECT_FALSE(none->server->alpn_h2());
  auto other = Connect({.version = GetParam(), .alpn = "\x03xyz"});
  EXPECT_FALSE(other->ok);
  EXPECT_EQ(other->client_alert, SSL_AD_NO_APPLICATION_PROTOCOL);
}

TEST_P(TlsTest, RequireWithoutACertificateIsATypedErrorAndAlert) {
  auto p = Connect({.sni = "c.test", .version = GetParam()});
  EXPECT_EQ(p->server->state(), TlsSession::State::kFailed);
  EXPECT_EQ(p->server->error().kind, TlsError::Kind::kNoCertificate);
  int alert = GetParam() == TLS1_3_VERSION ? SSL_AD_CERTIFICATE_REQUIRED : SSL_AD_HANDSHAKE_FAILURE;
  EXPECT_EQ(p->client_alert, alert);
}

TEST_P(TlsTest, ACertificateWithoutItsKeyIsATypedErrorAndTheCertificateIsStillToBeSeen) {
  UniqueKey other = NewKey();
  UniqueKey impostor = ImpostorKey(client_key_.get(), other.get());
  for (const char* sni : {"b.test", "c.test"}) {
    auto p = Connect({.sni = sni, .certificate = true, .version = GetParam(), .key = impostor.get()});
    EXPECT_FALSE(p->ok);
    EXPECT_EQ(p->server->error().kind, TlsError::Kind::kNotProven) << p->server->error().text;
    EXPECT_EQ(p->client_alert, SSL_AD_DECRYPT_ERROR);
    ASSERT_THAT(p->server->PresentedChain(), SizeIs(1));
    EXPECT_EQ(X509_cmp(p->server->PresentedChain()[0], client_cert_.get()), 0);
  }
  EXPECT_EQ(hooks_.stores, 0);
  EXPECT_EQ(cache_->size(), 0u);
}

TEST_P(TlsTest, PresentedCertificatesAreAcceptedStructurallyAndProven) {
  for (const char* sni : {"b.test", "C.TEST", "x.wild.test"}) {
    auto p = Connect({.sni = sni, .certificate = true, .version = GetParam()});
    ASSERT_TRUE(p->ok) << sni << ": " << p->server->error().text;
    ASSERT_THAT(p->server->PresentedChain(), SizeIs(1));
    EXPECT_EQ(X509_cmp(p->server->PresentedChain()[0], client_cert_.get()), 0);
  }
  auto none = Connect({.sni = "a.test", .certificate = true, .version = GetParam()});
  ASSERT_TRUE(none->ok);
  EXPECT_THAT(none->server->PresentedChain(), IsEmpty()) << "NONE must not ask";
}

TEST_P(TlsTest, MoreCertificatesThanAnybodyNeedsAreRefusedUnread) {
  const UniqueX509 small = NewCertificate("x", client_key_.get());
  const auto connect = [&](size_t count) {
    return Connect({.sni = "c.test", .certificate = true, .version = GetParam(),
                    .chain = std::vector<X509*>(count - 1, small.get())});
  };
  auto most = connect(kMaxPresentedCertificates);
  ASSERT_TRUE(most->ok) << most->server->error().text;
  EXPECT_EQ(hooks_.presented, kMaxPresentedCertificates);
  hooks_.presented = 0;
  for (size_t count : {kMaxPresentedCertificates + 1, size_t{90}}) {
    auto more = connect(count);
    EXPECT_EQ(more->server->error().kind, TlsError::Kind::kTooMany);
    EXPECT_THAT(more->server->error().text, HasSubstr("more than 24 certificates"));
    EXPECT_EQ(more->client_alert, SSL_AD_DECODE_ERROR);
    EXPECT_EQ(hooks_.presented, 0u) << "nobody was asked";
    EXPECT_THAT(more->server->PresentedChain(), IsEmpty()) << "nothing was decoded";
  }
}

TEST_P(TlsTest, LargerCertificatesThanAnybodyNeedsAreRefusedUnread) {
  const UniqueX509 large = LargeCertificate(client_key_.get(), 12'000);
  auto two = Connect({.sni = "c.test", .certificate = true, .version = GetParam(), .chain = {large.get(), large.get()}});
  EXPECT_TRUE(two->ok) << two->server->error().text;
  auto three = Connect(
      {.sni = "c.test", .certificate = true, .version = GetParam(), .chain = {large.get(), large.get(), large.get()}});
  EXPECT_EQ(three->server->error().kind, TlsError::Kind::kTooMany);
  EXPECT_THAT(three->server->error().text, HasSubstr("more than 32768 bytes"));
  EXPECT_EQ(three->client_alert, SSL_AD_ILLEGAL_PARAMETER);
}

// What anybody can have a server do who holds no key that counts: at most ten times the work of an ordinary handshake.
TEST_P(TlsTest, TheLongestListCostsAtMostTenOrdinaryHandshakes) {
  const UniqueX509 small = NewCertificate("", client_key_.get());
  const auto cost = [&](size_t count) {
    const std::vector<X509*> chain(count - 1, small.get());
    absl::Duration best = absl::InfiniteDuration();
    for (int i = 0; i < 5; ++i) {
      auto p = Connect({.sni = "c.test", .certificate = true, .version = GetParam(), .chain = chain});
      best = std::min(best, p->server_time);
    }
    return best;
  };
  const absl::Duration ordinary = cost(2);
  EXPECT_LT(cost(kMaxPresentedCertificates), 10 * ordinary);
  EXPECT_LT(cost(120), ordinary) << "nothing of it is read";
}

TEST_P(TlsTest, AHookCanRefuseInTheHandshake) {
  hooks_.answer = Presented::kUnknownCa;
  auto p = Connect({.sni = "b.test", .certificate = true, .version = GetParam()});
  EXPECT_EQ(p->server->error().kind, TlsError::Kind::kPresented);
  EXPECT_EQ(p->client_alert, SSL_AD_UNKNOWN_CA);
}

// FACTS 10 and 11: names x names x certificate. A session resumes only under the name that made it, and one without
// certificate never where a certificate could be sent.
TEST_P(TlsTest, NoSessionCrossesNamesOrSkipsTheQuestionForACertificate) {
  const char* const names[] = {"a.test", "b.test", "c.test", "x.wild.test", ""};
  for (const char* from : names) {
    for (bool with : {false, true}) {
      for (const char* to : names) {
        for (bool with_then : {false, true}) {
          SCOPED_TRACE(absl::StrCat(from, "+", with, " -> ", to, "+", with_then));
          cache_->Clear();
          auto first = Connect({.sni = from, .certificate = with, .version = GetParam()});
          bool demands = absl::string_view(from) == "c.test" || absl::string_view(from) == "x.wild.test";
          ASSERT_EQ(first->server->state() == TlsSession::State::kOpen, with || !demands);
          if (first->session == nullptr) continue;
          auto then = Connect({.sni = to, .certificate = with_then, .version = GetParam(), .session = first->session.get()});
          bool to_demands = absl::string_view(to) == "c.test" || absl::string_view(to) == "x.wild.test";
          // No SNI is the default name, a.test.
          auto same_config = [](absl::string_view n) { return n.empty() ? absl::string_view("a.test") : n; };
          bool open = then->server->state() == TlsSession::State::kOpen;
          if (open && then->server->resumed()) {
            EXPECT_EQ(same_config(from), same_config(to));
            if (same_config(to) != "a.test") {
              EXPECT_TRUE(with) << "resumed without ever having shown a certificate";
              EXPECT_NE(then->server->attached().user, nullptr);
            }
          } else if (to_demands && !with_then) {
            EXPECT_FALSE(open) << "got in without certificate and without resumption";
          }
        }
      }
    }
  }
}

TEST_P(TlsTest, ResumesWithWhatTheServerAttached) {
  auto first = Connect({.sni = "c.test", .certificate = true, .version = GetParam()});
  ASSERT_TRUE(first->ok);
  ASSERT_NE(first->session, nullptr);
  auto second = Connect({.sni = "c.test", .certificate = true, .version = GetParam(), .session = first->session.get()});
  ASSERT_TRUE(second->ok) << second->server->error().text;
  ASSERT_TRUE(second->server->resumed());
  EXPECT_EQ(*static_cast<const std::string*>(second->server->attached().user.get()), "who");
  EXPECT_TRUE(second->server->presented_any());
  EXPECT_THAT(second->server->PresentedChain(), IsEmpty());
  SSL_write(second->client.get(), "x", 1);
  EXPECT_EQ(ServerReads(second.get()), "x");
  // TLS 1.3 hands out a new session each time, TLS 1.2 goes on with the old one.
  SSL_SESSION* next = GetParam() == TLS1_3_VERSION ? second->session.get() : first->session.get();
  ASSERT_NE(next, nullptr);
  auto third = Connect({.sni = "c.test", .certificate = true, .version = GetParam(), .session = next});
  EXPECT_TRUE(third->server->resumed());
}

TEST_P(TlsTest, AnExpiredForgottenOrForbiddenSessionMeansACleanFullHandshake) {
  auto make = [&] { return Connect({.sni = "c.test", .certificate = true, .version = GetParam()}); };
  auto again = [&](Pair* p) {
    return Connect({.sni = "c.test", .certificate = true, .version = GetParam(), .session = p->session.get()});
  };
  auto expired = make();
  clock_.Advance(absl::Hours(2));
  auto p = again(expired.get());
  EXPECT_TRUE(p->ok);
  EXPECT_FALSE(p->server->resumed());

  auto purged = make();
  EXPECT_GT(cache_->Purge([](const SessionRecord& r) { return r.binding.weight == 42; }), 0u);
  p = again(purged.get());
  EXPECT_TRUE(p->ok);
  EXPECT_FALSE(p->server->resumed());

  auto forbidden = make();
  hooks_.resume = false;
  p = again(forbidden.get());
  EXPECT_TRUE(p->ok);
  EXPECT_FALSE(p->server->resumed());
  EXPECT_EQ(p->server->attached().user, nullptr);
  EXPECT_THAT(p->server->PresentedChain(), SizeIs(1));
}

TEST_P(TlsTest, WhatTheServerDoesNotAllowIsNotStored) {
  hooks_.store = false;
  auto p = Connect({.sni = "c.test", .certificate = true, .version = GetParam()});
  ASSERT_TRUE(p->ok);
  EXPECT_GT(hooks_.stores, 0);
  EXPECT_EQ(cache_->size(), 0u);
}

TEST_F(TlsFixture, ATls13SessionIsGoodOnce) {
  auto first = Connect({.sni = "c.test", .certificate = true});
  ASSERT_NE(first->session, nullptr);
  auto second = Connect({.sni = "c.test", .certificate = true, .session = first->session.get()});
  EXPECT_TRUE(second->server->resumed());
  auto replay = Connect({.sni = "c.test", .certificate = true, .session = first->session.get()});
  EXPECT_TRUE(replay->ok);
  EXPECT_FALSE(replay->server->resumed());
}

TEST_F(TlsFixture, AHelloRetryRequestDoesNotCostTheSession) {
  auto first = Connect({.sni = "c.test", .certificate = true});
  ASSERT_NE(first->session, nullptr);
  // P-521 first: we do not support it and ask again.
  auto second = Connect({.sni = "c.test", .certificate = true, .groups = "P-521:P-256", .session = first->session.get()});
  ASSERT_TRUE(second->ok) << second->server->error().text;
  EXPECT_TRUE(second->server->resumed());
}

TEST_F(TlsFixture, AResumptionChainEndsWithTheFirstLifetime) {
  auto p = Connect({.sni = "c.test", .certificate = true});
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(absl::Minutes(25));
    p = Connect({.sni = "c.test", .certificate = true, .session = p->session.get()});
    ASSERT_TRUE(p->ok);
    EXPECT_EQ(p->server->resumed(), i < 2) << i;
  }
}

TEST_F(TlsFixture, DroppedCertificatesLeaveAWorkingConnection) {
  auto p = Connect({.sni = "c.test", .certificate = true});
  ASSERT_TRUE(p->ok);
  p->server->DropCertificates();
  EXPECT_THAT(p->server->PresentedChain(), IsEmpty());
  auto other = Connect({.sni = "c.test", .certificate = true});
  other->server->DropCertificates();
  other.reset();
  for (int i = 0; i < 3; ++i) {
    if (i == 1) {
      EXPECT_EQ(SSL_key_update(p->client.get(), SSL_KEY_UPDATE_REQUESTED), 1);
    }
    SSL_write(p->client.get(), "data", 4);
    EXPECT_EQ(ServerReads(p.get()), "data");
    EXPECT_EQ(p->server->Write("back"), IoStatus::kOk);
    Back(p.get());
    char b[10];
    EXPECT_EQ(SSL_read(p->client.get(), b, sizeof b), 4);
  }
  auto again = Connect({.sni = "c.test", .certificate = true, .session = p->session.get()});
  EXPECT_TRUE(again->server->resumed()) << "the stored session does not suffer";
}

TEST_F(TlsFixture, TheKeysOfTheKeyExchangeGoWithTheCertificates) {
  const auto has_key = [](SSL* ssl, bool own) {
    EVP_PKEY* key = nullptr;
    EXPECT_EQ(own ? SSL_get_tmp_key(ssl, &key) : SSL_get_peer_tmp_key(ssl, &key), 1);
    unsigned char* octets = nullptr;
    const bool some = EVP_PKEY_get1_encoded_public_key(key, &octets) > 0;
    OPENSSL_free(octets);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return some;
  };
  for (const char* groups : {"X25519", "P-256"}) {
    auto p = Connect({.sni = "c.test", .certificate = true, .groups = groups});
    ASSERT_TRUE(p->ok);
    EXPECT_TRUE(has_key(p->server->ssl(), true) && has_key(p->server->ssl(), false)) << groups;
    p->server->DropCertificates();
    EXPECT_FALSE(has_key(p->server->ssl(), true) || has_key(p->server->ssl(), false)) << groups;
    SSL_write(p->client.get(), "data", 4);
    EXPECT_EQ(ServerReads(p.get()), "data");
  }
}

TEST_F(TlsFixture, ThoseThatDroppedTheirCertificatesShareOneConfiguration) {
  auto one = Connect({.sni = "c.test", .certificate = true}), two = Connect({.sni = "a.test"}), third = Connect({});
  ASSERT_TRUE(one->ok && two->ok && third->ok);
  EXPECT_NE(SSL_get_certificate(one->server->ssl()), nullptr);
  for (auto* p : {&one, &two}) (*p)->server->DropCertificates();
  EXPECT_EQ(SSL_get_certificate(one->server->ssl()), nullptr) << "nor does it keep the server's certificate alive";
  // The level is kept in the configuration, which shows whose it is.
  const int before = SSL_get_security_level(one->server->ssl());
  SSL_set_security_level(one->server->ssl(), before + 1);
  EXPECT_EQ(SSL_get_security_level(two->server->ssl()), before + 1);
  EXPECT_EQ(SSL_get_security_level(third->server->ssl()), before);
  SSL_set_security_level(one->server->ssl(), before);
}

TEST_F(TlsFixture, AHelloOnAnOpenConnectionEndsNothingElse) {
  auto p = Connect({.sni = "c.test", .certificate = true, .version = TLS1_2_VERSION});
  ASSERT_TRUE(p->ok);
  ASSERT_EQ(SSL_renegotiate(p->client.get()), 1);
  SSL_do_handshake(p->client.get());  // writes the hello
  EXPECT_EQ(ServerReads(p.get()), "");
  Back(p.get());
  EXPECT_NE(SSL_do_handshake(p->client.get()), 1) << "it is not taken up";
  ERR_clear_error();
  EXPECT_EQ(hooks_.stores, 1);
}

TEST_F(TlsFixture, UnknownNamesGetTheDefaultUnlessRefused) {
  EXPECT_EQ(Connect({.sni = "nobody.test"})->server->name()->index, 0u);
  EXPECT_EQ(Connect({.sni = "wild.test"})->server->name()->index, 0u) << "a wildcard is one label, not none";
  EXPECT_EQ(Connect({.sni = "x.y.wild.test"})->server->name()->index, 0u) << "nor two";
  ServerContextOptions o;
  o.names = {Name("a.test", ClientCertificate::kNone)};
  o.refuse_unknown_names = true;
  Use(o);
  auto p = Connect({.sni = "nobody.test"});
  EXPECT_EQ(p->server->error().kind, TlsError::Kind::kUnknownName);
  EXPECT_EQ(p->client_alert, SSL_AD_UNRECOGNIZED_NAME);
  EXPECT_TRUE(Connect({.sni = ""})->ok);
}

TEST_F(TlsFixture, WhatDidNotChangeOfANameKeepsItsContext) {
  ServerContextOptions o;
  o.names = {Name("a.test", ClientCertificate::kNone), Name("b.test", ClientCertificate::kAllow)};
  Use(o);
  auto before = context_;
  o.previous = before.get();
  o.names[0].unchanged = true;
  o.names[1].client_certificate = ClientCertificate::kRequire;
  Use(o);
  EXPECT_EQ(context_->Find("a.test"), before->Find("a.test"));
  EXPECT_NE(context_->Find("b.test"), before->Find("b.test"));
  before = nullptr;
  EXPECT_TRUE(Connect({.sni = "a.test"})->ok);
  EXPECT_EQ(Connect({.sni = "b.test"})->server->error().kind, TlsError::Kind::kNoCertificate);
}

TEST_F(TlsFixture, OldVersionsAndGarbageAreRefusedWithAReason) {
  auto old = Connect({.version = TLS1_1_VERSION});
  EXPECT_FALSE(old->ok);
  EXPECT_EQ(old->server->state(), TlsSession::State::kFailed);
  auto s = TlsSession::OverMemory(context_, &hooks_);
  s->Feed("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
  EXPECT_EQ(s->Handshake(), IoStatus::kFailed);
  EXPECT_EQ(s->error().kind, TlsError::Kind::kProtocol);
  EXPECT_THAT(s->error().text, HasSubstr("http request"));
  auto eof = TlsSession::OverMemory(context_, &hooks_);
  eof->FeedEof();
  EXPECT_EQ(eof->Handshake(), IoStatus::kFailed);
  EXPECT_EQ(eof->error().kind, TlsError::Kind::kEof);
}

TEST_F(TlsFixture, OnlyForwardSecretAeadSuitesAreConfigured) {
  STACK_OF(SSL_CIPHER)* all = SSL_CTX_get_ciphers(context_->default_name().ctx.get());
  ASSERT_GT(sk_SSL_CIPHER_num(all), 0);
  for (int i = 0; i < sk_SSL_CIPHER_num(all); ++i) {
    const SSL_CIPHER* c = sk_SSL_CIPHER_value(all, i);
    EXPECT_TRUE(SSL_CIPHER_is_aead(c)) << SSL_CIPHER_get_name(c);
    int kx = SSL_CIPHER_get_kx_nid(c);
    EXPECT_TRUE(kx == NID_kx_ecdhe || kx == NID_kx_any) << SSL_CIPHER_get_name(c);
  }
}

TEST_F(TlsFixture, ConfigurationMistakesAreNamed) {
  auto error = [&](NameConfig c) {
    ServerContextOptions o;
    o.names = {std::move(c)};
    return std::string(ServerContext::Create(o).status().message());
  };
  EXPECT_THAT(std::string(ServerContext::Create({}).status().message()), HasSubstr("at least one"));
  NameConfig c = Name("a.test", ClientCertificate::kNone);
  c.key_pairs[0].key = client_key_.get();
  EXPECT_THAT(error(c), HasSubstr("does not belong"));
  c = Name("a.*.test", ClientCertificate::kNone);
  EXPECT_THAT(error(c), HasSubstr("a.*.test"));
  c = Name("a.test", ClientCertificate::kNone);
  c.names.push_back("A.test");
  EXPECT_THAT(error(c), HasSubstr("twice"));
  c = Name("a.test", ClientCertificate::kNone);
  c.ca_hints = {"junk"};
  EXPECT_THAT(error(c), HasSubstr("distinguished name"));
  c = Name("a.test", ClientCertificate::kNone);
  c.min_version = TLS1_1_VERSION;
  EXPECT_THAT(error(c), HasSubstr("1.2"));
}

TEST_F(TlsFixture, TwoSessionsShareACorkWithoutMixing) {
  Cork cork;
  int a[2], b[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
  auto one = TlsSession::OverSocket(context_, &hooks_, a[0], &cork);
  auto two = TlsSession::OverSocket(context_, &hooks_, b[0], &cork);
  // A client hello makes each of them gather its flight.
  UniqueSslCtx ctx(SSL_CTX_new(TLS_client_method()));
  UniqueSsl client(SSL_new(ctx.get()));
  SSL_set_bio(client.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(client.get());
  SSL_do_handshake(client.get());
  ERR_clear_error();
  char hello[4096];
  int n = BIO_read(SSL_get_wbio(client.get()), hello, sizeof hello);
  ASSERT_GT(n, 0);
  ASSERT_EQ(write(a[1], hello, static_cast<size_t>(n)), n);
  ASSERT_EQ(write(b[1], hello, static_cast<size_t>(n)), n);
  EXPECT_EQ(one->Handshake(), IoStatus::kWantRead);
  EXPECT_EQ(two->Handshake(), IoStatus::kWantRead);
  size_t n1 = one->pending_output(), n2 = two->pending_output();
  EXPECT_GT(n1, 0u);
  EXPECT_GT(n2, 0u);
  EXPECT_EQ(one->Flush(), IoStatus::kOk);
  EXPECT_EQ(two->Flush(), IoStatus::kOk);
  char buffer[16384];
  EXPECT_EQ(read(a[1], buffer, sizeof buffer), static_cast<ssize_t>(n1));
  EXPECT_EQ(read(b[1], buffer, sizeof buffer), static_cast<ssize_t>(n2));
  for (int fd : {a[0], a[1], b[0], b[1]}) close(fd);
}

// Sessions over sockets with one cork, whose handshakes, reads and writes take turns.
class CorkTest : public TlsFixture {
 protected:
  struct Peer {
    ~Peer() {
      for (int fd : ends) close(fd);
    }
    int ends[2] = {-1, -1};
    UniqueSslCtx ctx;
    UniqueSsl client;
    std::unique_ptr<TlsSession> server;
    void ToServer(size_t most = 65536) {
      char b[65536];
      const int n = BIO_read(SSL_get_wbio(client.get()), b, static_cast<int>(std::min(most, sizeof b)));
      if (n <= 0) return;
      EXPECT_EQ(write(ends[1], b, static_cast<size_t>(n)), n);
    }
    void ToClient() {
      EXPECT_EQ(server->Flush(), IoStatus::kOk);
      char b[65536];
      const ssize_t n = read(ends[1], b, sizeof b);
      if (n > 0) BIO_write(SSL_get_rbio(client.get()), b, static_cast<int>(n));
    }
    std::string ServerReads() {
      char b[4096];
      size_t n = 0;
      return server->Read(absl::MakeSpan(b), &n) == IoStatus::kOk ? std::string(b, n) : "";
    }
    std::string ClientReads() {
      char b[4096];
      const int n = SSL_read(client.get(), b, sizeof b);
      ERR_clear_error();
      return n > 0 ? std::string(b, static_cast<size_t>(n)) : "";
    }
  };
  std::unique_ptr<Peer> Join() {
    auto p = std::make_unique<Peer>();
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->ends), 0);
    p->server = TlsSession::OverSocket(context_, &hooks_, p->ends[0], &cork_);
    p->ctx.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_use_certificate(p->ctx.get(), client_cert_.get());
    SSL_CTX_use_PrivateKey(p->ctx.get(), client_key_.get());
    p->client.reset(SSL_new(p->ctx.get()));
    SSL_set_bio(p->client.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_tlsext_host_name(p->client.get(), "c.test");
    SSL_set_connect_state(p->client.get());
    return p;
  }
  Cork cork_;
};

// Outputs of one turn lie one behind the other in the cork; those that go on later, are too large, or meet a full socket are kept
// apart. Each client gets its own in order, whatever comes when.
TEST_F(CorkTest, OutputsOfManyMixNothingInAnyOrder) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 5; ++i) peers.push_back(Join());
  for (int i = 0; i < 4; ++i) {
    for (auto& p : peers) {
      SSL_do_handshake(p->client.get());
      ERR_clear_error();
      p->ToServer();
      p->server->Handshake();
      p->ToClient();
    }
  }
  for (auto& p : peers) {
    ASSERT_EQ(p->server->state(), TlsSession::State::kOpen) << p->server->error().text;
    p->ClientReads();  // its tickets
  }
  std::mt19937 random(5);
  std::vector<std::string> sent(peers.size()), got(peers.size());
  int full = 0;
  const auto read_some = [&](size_t i) {
    char b[65536];
    const ssize_t n = read(peers[i]->ends[1], b, sizeof b);
    if (n > 0) BIO_write(SSL_get_rbio(peers[i]->client.get()), b, static_cast<int>(n));
    for (std::string text; !(text = peers[i]->ClientReads()).empty();) got[i] += text;
  };
  for (int step = 0; step < 5000; ++step) {
    const size_t i = random() % peers.size();
    TlsSession& server = *peers[i]->server;
    switch (random() % 4) {
      case 0:
      case 1: {
        const std::string text(1 + (random() % 50 == 0 ? random() % 400'000 : random() % 300), static_cast<char>('a' + random() % 26));
        if (server.pending_output() > 2'000'000) break;
        ASSERT_EQ(server.Write(text), IoStatus::kOk);
        EXPECT_GE(server.pending_output(), text.size());
        sent[i] += text;
        break;
      }
      case 2: {
        const IoStatus status = server.Flush();
        ASSERT_NE(status, IoStatus::kFailed);
        full += status == IoStatus::kWantWrite;
        EXPECT_EQ(server.pending_output() == 0, status == IoStatus::kOk);
        break;
      }
      case 3: read_some(i); break;
    }
  }
  EXPECT_GT(full, 0) << "no socket was ever full";
  for (size_t i = 0; i < peers.size(); ++i) {
    while (peers[i]->server->Flush() == IoStatus::kWantWrite) read_some(i);
    for (size_t before = 1; before != got[i].size();) {
      before = got[i].size();
      read_some(i);
    }
    EXPECT_TRUE(got[i] == sent[i]) << i << ": " << got[i].size() << " of " << sent[i].size();
  }
}

TEST_F(CorkTest, AClientThatNeverLetsTheOutputRunDryMakesUsKeepNoMoreThanWaits) {
  auto p = Join();
  for (int i = 0; i < 6; ++i) {
    SSL_do_handshake(p->client.get());
    ERR_clear_error();
    p->ToServer();
    p->server->Handshake();
    p->ToClient();
  }
  ASSERT_EQ(p->server->state(), TlsSession::State::kOpen);
  const int small = 64 * 1024;
  setsockopt(p->ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  const std::string text(64 * 1024, 'x');
  const auto in_use = [] {
    const auto m = mallinfo2();
    return m.uordblks + m.hblkhd;
  };
  const size_t before = in_use();
  size_t most_waiting = 0;
  std::vector<char> b(32 * 1024);
  for (int i = 0; i < 1000; ++i) {
    while (p->server->pending_output() <= 256 * 1024) ASSERT_EQ(p->server->Write(text), IoStatus::kOk);
    most_waiting = std::max(most_waiting, p->server->pending_output());
    ASSERT_NE(p->server->Flush(), IoStatus::kFailed);
    (void)!read(p->ends[1], b.data(), b.size());
  }
  EXPECT_LT(most_waiting, 400u * 1024);
  EXPECT_LT(in_use() - before, 2u << 20);
}

// In the midst of one's handshake another is ended, as trust that goes may do.
TEST_F(CorkTest, ACallbackMayDriveAnotherSession) {
  const auto step = [](Peer& p) {
    SSL_do_handshake(p.client.get());
    ERR_clear_error();
    p.ToServer();
    p.server->Handshake();
    p.ToClient();
  };
  const auto other = Join(), one = Join();
  for (int i = 0; i < 4; ++i) step(*other);
  ASSERT_EQ(other->server->state(), TlsSession::State::kOpen);
  int times = 0;
  hooks_.meanwhile = [&] {
    ++times;
    EXPECT_EQ(other->server->Write("bye"), IoStatus::kOk);
    other->server->Shutdown();
  };
  for (int i = 0; i < 4; ++i) step(*one);
  EXPECT_EQ(times, 1);
  ASSERT_EQ(one->server->state(), TlsSession::State::kOpen) << one->server->error().text;
  EXPECT_EQ(one->server->Write("welcome"), IoStatus::kOk);
  one->ToClient();
  EXPECT_EQ(one->ClientReads(), "welcome");
  other->ToClient();
  EXPECT_EQ(other->ClientReads(), "bye");
  EXPECT_EQ(other->ClientReads(), "");
  EXPECT_EQ(SSL_get_shutdown(other->client.get()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
}

TEST_F(CorkTest, OneBioServesAllInTurn) {
  std::unique_ptr<Peer> peers[] = {Join(), Join(), Join()};
  for (int i = 0; i < 4; ++i) {
    for (auto& p : peers) {
      SSL_do_handshake(p->client.get());
      ERR_clear_error();
      p->ToServer();
    }
    for (auto& p : peers) p->server->Handshake();
    for (auto& p : peers) p->ToClient();
  }
  for (auto& p : peers) {
    ASSERT_EQ(p->server->state(), TlsSession::State::kOpen) << p->server->error().text;
    EXPECT_EQ(SSL_get_rbio(p->server->ssl()), SSL_get_rbio(peers[0]->server->ssl()));
    EXPECT_EQ(p->server->shared_sni(), peers[0]->server->shared_sni());
    p->server->DropCertificates();
    p->ClientReads();  // its tickets
  }
  for (int i = 0; i < 3; ++i) {
    for (auto& p : peers) {
      // The first half of a record, with a new key in the second turn: OpenSSL is in the midst of a message for all of them.
      if (i == 1) {
        EXPECT_EQ(SSL_key_update(p->client.get(), SSL_KEY_UPDATE_REQUESTED), 1);
      }
      const std::string text = absl::StrCat("from ", p->ends[0], " turn ", i);
      EXPECT_EQ(SSL_write(p->client.get(), text.data(), static_cast<int>(text.size())), static_cast<int>(text.size()));
      p->ToServer(9);
    }
    for (auto& p : peers) EXPECT_EQ(p->ServerReads(), "");
    for (auto& p : peers) {
      p->ToServer();
      const std::string text = absl::StrCat("from ", p->ends[0], " turn ", i);
      EXPECT_EQ(p->ServerReads(), text);
      EXPECT_EQ(p->server->Write(absl::StrCat("back ", text)), IoStatus::kOk);
    }
    for (auto& p : peers) {
      p->ToClient();
      EXPECT_EQ(p->ClientReads(), absl::StrCat("back from ", p->ends[0], " turn ", i));
    }
  }
  peers[1].reset();
  SSL_write(peers[2]->client.get(), "still", 5);
  peers[2]->ToServer();
  EXPECT_EQ(peers[2]->ServerReads(), "still") << "one that goes takes the BIO from nobody";
  SSL_shutdown(peers[0]->client.get());
  peers[0]->ToServer();
  char b[10];
  size_t n = 0;
  EXPECT_EQ(peers[0]->server->Read(absl::MakeSpan(b), &n), IoStatus::kClosed);
  EXPECT_EQ(peers[2]->server->Read(absl::MakeSpan(b), &n), IoStatus::kWantRead);
}

// Octet by octet, with a second hello for each: OpenSSL is in the midst of something for all of them all the time.
TEST_F(CorkTest, HellosInPiecesAndRetriesMixNothing) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 4; ++i) {
    peers.push_back(Join());
    SSL* client = peers.back()->client.get();
    SSL_set_tlsext_host_name(client, (i % 2 == 0 ? "c.test" : "a.test"));
    ASSERT_EQ(SSL_set1_groups_list(client, "P-521:P-256"), 1);  // the key that comes with the hello is of no use
  }
  for (int round = 0; round < 8; ++round) {
    for (auto& p : peers) {
      SSL_do_handshake(p->client.get());
      ERR_clear_error();
    }
    const auto waits = [](Peer& p) { return BIO_ctrl_pending(SSL_get_wbio(p.client.get())) > 0; };
    while (std::any_of(peers.begin(), peers.end(), [&](auto& p) { return waits(*p); })) {
      for (size_t i = 0; i < peers.size(); ++i) {
        if (!waits(*peers[i])) continue;
        peers[i]->ToServer(1 + i);
        ASSERT_NE(peers[i]->server->Handshake(), IoStatus::kFailed) << i << " " << peers[i]->server->error().text;
      }
    }
    for (auto& p : peers) p->ToClient();
  }
  for (size_t i = 0; i < peers.size(); ++i) {
    ASSERT_EQ(peers[i]->server->state(), TlsSession::State::kOpen) << i;
    EXPECT_EQ(peers[i]->server->sni(), i % 2 == 0 ? "c.test" : "a.test");
    peers[i]->ClientReads();  // its tickets
  }
  // The certificates go while a record is half there: the rest of it is read as before.
  for (auto& p : peers) {
    EXPECT_EQ(SSL_key_update(p->client.get(), SSL_KEY_UPDATE_REQUESTED), 1);
    EXPECT_EQ(SSL_write(p->client.get(), "on", 2), 2);
    p->ToServer(7);
    EXPECT_EQ(p->ServerReads(), "");
  }
  for (auto& p : peers) p->server->DropCertificates();
  for (auto& p : peers) p->ToServer();
  for (auto& p : peers) {
    EXPECT_EQ(p->ServerReads(), "on");
    EXPECT_EQ(p->server->Write("back"), IoStatus::kOk);
    p->ToClient();
    EXPECT_EQ(p->ClientReads(), "back");
  }
}

// Workers share what those that rest have.
TEST_F(TlsFixture, WorkersDropCertificatesAtOnce) {
  std::vector<std::vector<std::unique_ptr<Pair>>> of_worker(4);
  for (auto& pairs : of_worker) {
    for (int i = 0; i < 8; ++i) pairs.push_back(Connect({.sni = "c.test", .certificate = true}));
  }
  std::vector<std::thread> workers;
  for (auto& pairs : of_worker) {
    workers.emplace_back([&pairs] {
      for (auto& p : pairs) p->server->DropCertificates();
      pairs.resize(4);
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (auto& pairs : of_worker) {
    for (auto& p : pairs) {
      SSL_write(p->client.get(), "data", 4);
      EXPECT_EQ(ServerReads(p.get()), "data");
    }
  }
}

TEST_F(CorkTest, OneThatBreaksOffOrIsRefusedLeavesTheOthers) {
  auto first = Join(), second = Join(), third = Join();
  for (auto* p : {&first, &second, &third}) {
    SSL_do_handshake((*p)->client.get());
    ERR_clear_error();
    (*p)->ToServer();
    EXPECT_EQ((*p)->server->Handshake(), IoStatus::kWantRead);
  }
  first.reset();  // in the midst of its handshake
  hooks_.answer = Presented::kRevoked;
  second->ToClient();
  SSL_do_handshake(second->client.get());
  second->ToServer();
  EXPECT_EQ(second->server->Handshake(), IoStatus::kFailed);
  EXPECT_EQ(second->server->error().kind, TlsError::Kind::kPresented);
  hooks_.answer = Presented::kGoOn;
  third->ToClient();
  SSL_do_handshake(third->client.get());
  third->ToServer();
  EXPECT_EQ(third->server->Handshake(), IoStatus::kOk) << third->server->error().text;
  EXPECT_EQ(third->server->error().kind, TlsError::Kind::kNone);
  EXPECT_EQ(third->server->error().alert, -1) << "the alert was the other's";
}

static_assert(sizeof(SessionRecord) <= 168, "there is one for each client that may come back");

TEST(SessionCacheTest, WhatIsReplacedPurgedOrRemovedIsGoneAndTheRestIsFound) {
  SessionCache cache(1600);
  FakeClock clock;
  const auto put = [&](int number, uint16_t cipher) {
    SessionRecord r;
    r.id_length = 32;
    r.id[0] = static_cast<uint8_t>(number);
    r.id[31] = static_cast<uint8_t>(number % 5);
    r.version = TLS1_2_VERSION;
    r.cipher = cipher;
    r.created = clock.Now();
    r.lifetime_seconds = 3600;
    cache.Put(r);
    return std::string(r.Id());
  };
  std::vector<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(put(i, static_cast<uint16_t>(i)));
  EXPECT_EQ(put(7, 1007), ids[7]);
  EXPECT_EQ(cache.size(), 100u);
  EXPECT_EQ(cache.Take(ids[7], clock.Now())->cipher, 1007) << "the last that was told";
  EXPECT_EQ(cache.Purge([](const SessionRecord& r) { return r.cipher % 2 == 0; }), 50u);
  cache.Remove(ids[9]);
  cache.Remove(ids[10]);
  EXPECT_EQ(cache.size(), 49u);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(cache.Take(ids[static_cast<size_t>(i)], clock.Now()).has_value(), i % 2 == 1 && i != 9) << i;
  }
  cache.Clear();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_FALSE(cache.Take(ids[1], clock.Now()).has_value());
}

TEST(SessionCacheTest, IsBoundedAndForgetsTheOldest) {
  SessionCache cache(16);
  FakeClock clock;
  for (int i = 0; i < 1000; ++i) {
    SessionRecord r;
    r.id_length = 32;
    r.id[0] = static_cast<uint8_t>(i);
    r.id[1] = static_cast<uint8_t>(i >> 8);
    r.id[31] = static_cast<uint8_t>(i % 16);
    r.version = TLS1_3_VERSION;
    r.created = clock.Now();
    r.lifetime_seconds = 3600;
    cache.Put(r);
  }
  EXPECT_EQ(cache.size(), 16u);
}

TEST(SessionCacheTest, IsBoundedInOctetsOfWhatIsAttachedToo) {
  SessionCache cache(1600, 16 * 1000);  // a hundred of a shard, a thousand octets
  FakeClock clock;
  const auto put = [&](int number, size_t weight) {
    SessionRecord r;
    r.id_length = 32;
    r.id[0] = static_cast<uint8_t>(number);
    r.version = TLS1_3_VERSION;
    r.created = clock.Now();
    r.lifetime_seconds = 3600;
    r.binding.weight = weight;
    cache.Put(r);
    return std::string(r.Id());
  };
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(put(i, 100));
  EXPECT_EQ(cache.size(), 10u);
  EXPECT_FALSE(cache.Take(ids[9], clock.Now()).has_value()) << "the oldest went";
  EXPECT_TRUE(cache.Take(ids[10], clock.Now()).has_value());
  put(30, 100);
  put(30, 100);
  EXPECT_EQ(cache.size(), 10u) << "what was taken, and what was replaced, weighs nothing any more";
  const std::string heavy = put(31, 5000);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_TRUE(cache.Take(heavy, clock.Now()).has_value()) << "the latest stays, whatever it weighs";
  put(32, 400);
  cache.Purge([](const SessionRecord&) { return true; });
  put(33, 400);
  cache.Clear();
  for (int i = 0; i < 20; ++i) put(i, 100);
  EXPECT_EQ(cache.size(), 10u);
}

TEST(SessionCacheTest, OneThatIsTakenMakesRoomAndALongerIdentifierIsNobodys) {
  SessionCache cache(32);  // two of a shard
  FakeClock clock;
  const auto id = [](char first, size_t size = 32) { return std::string(1, first) + std::string(size - 1, '\0'); };
  const auto put = [&](const std::string& name) {
    SessionRecord r;
    r.id_length = 32;
    std::copy(name.begin(), name.end(), r.id.begin());
    r.version = TLS1_3_VERSION;
    r.created = clock.Now();
    r.lifetime_seconds = 3600;
    cache.Put(r);
  };
  for (char name : {'a', 'b'}) put(id(name));
  EXPECT_FALSE(cache.Take(id('b', 33), clock.Now()).has_value());
  EXPECT_FALSE(cache.Take(id('b', 31), clock.Now()).has_value());
  EXPECT_TRUE(cache.Take(id('b'), clock.Now()).has_value());
  EXPECT_FALSE(cache.Take(id('b'), clock.Now()).has_value()) << "good once";
  put(id('c'));
  EXPECT_EQ(cache.size(), 2u);
  put(id('d'));
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_FALSE(cache.Take(id('a'), clock.Now()).has_value()) << "the oldest";
  EXPECT_TRUE(cache.Take(id('c'), clock.Now()).has_value());
  EXPECT_TRUE(cache.Take(id('d'), clock.Now()).has_value());
}

TEST(SessionCacheTest, AClockThatIsSetBackDoesNotProlongASession) {
  SessionCache cache(16);
  FakeClock clock;
  SessionRecord r;
  r.id_length = 32;
  r.version = TLS1_2_VERSION;
  r.created = clock.Now();
  r.lifetime_seconds = 3600;
  cache.Put(r);
  const absl::string_view id(reinterpret_cast<const char*>(r.id.data()), r.id_length);
  EXPECT_TRUE(cache.Take(id, clock.Now() - absl::Minutes(1)).has_value());
  EXPECT_FALSE(cache.Take(id, clock.Now() - absl::Hours(24)).has_value());
  EXPECT_FALSE(cache.Take(id, clock.Now()).has_value()) << "gone for good";
}

}  // namespace
}  // namespace gatehouse::tls
