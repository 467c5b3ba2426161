// Connections over TLS, by the pool: what passes, what does not, and what a change of the terms does.
#include "gateway/tls/tls_fixture.h"
#include "gateway/upstream/upstream_fixture.h"

namespace gatehouse::upstream {
namespace {

constexpr char kOk[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

// The endpoint's side of one connection.
class TlsPeer {
 public:
  TlsPeer(int fd, SSL_CTX* ctx) : fd_(fd), ssl_(SSL_new(ctx)) {
    SSL_set_fd(ssl_.get(), fd_.get());
    SSL_set_accept_state(ssl_.get());
  }
  ~TlsPeer() { SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); }
  // Reads and writes what can be; false once the other side is gone.
  bool Work() {
    ERR_clear_error();
    if (SSL_do_handshake(ssl_.get()) != 1) return SSL_get_error(ssl_.get(), 0) != SSL_ERROR_SSL && !Gone();
    char buffer[16384];
    for (;;) {
      size_t n = 0;
      ERR_clear_error();
      if (SSL_read_ex(ssl_.get(), buffer, sizeof(buffer), &n) != 1) break;
      received.append(buffer, n);
    }
    const bool closed = (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0 || Gone();
    while (!out.empty()) {
      size_t n = 0;
      ERR_clear_error();
      if (SSL_write_ex(ssl_.get(), out.data(), std::min<size_t>(out.size(), 16000), &n) != 1) break;
      out.erase(0, n);
    }
    return !closed;
  }
  bool SendTicket() { return SSL_new_session_ticket(ssl_.get()) == 1 && SSL_do_handshake(ssl_.get()) == 1; }
  void Goodbye() { SSL_shutdown(ssl_.get()); }
  void CloseSocket() { fd_.Close(); }
  std::string received, out;

 private:
  bool Gone() {
    char octet;
    return recv(fd_.get(), &octet, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  }
  loop::Fd fd_;
  UniqueSsl ssl_;
};

class UpstreamTlsTest : public UpstreamFixture {
 protected:
  UpstreamTlsTest() {
    server_.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_use_certificate(server_.get(), certificate_.get());
    SSL_CTX_use_PrivateKey(server_.get(), key_.get());
    SSL_CTX_set_mode(server_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    options_.tls = Context(key_.get());
  }
  // Believes whoever has `key`.
  static std::shared_ptr<const tls::ClientContext> Context(EVP_PKEY* key) {
    unsigned char* der = nullptr;
    const int n = i2d_PUBKEY(key, &der);
    tls::ClientContextOptions options;
    options.spki_pins = {Sha256(absl::string_view(reinterpret_cast<char*>(der), static_cast<size_t>(n)))};
    OPENSSL_free(der);
    return *tls::ClientContext::Create(options);
  }
  std::unique_ptr<TlsPeer> AcceptTls() {
    std::unique_ptr<TlsPeer> peer;
    EXPECT_TRUE(Until([&] {
      const int fd = upstream_.TryAcceptFd();
      if (fd >= 0) peer = std::make_unique<TlsPeer>(fd, server_.get());
      return peer != nullptr;
    }));
    return peer;
  }
  ::testing::AssertionResult With(TlsPeer& peer, const std::function<bool()>& what) {
    return Until([&] {
      peer.Work();
      return what();
    });
  }
  std::unique_ptr<TlsPeer> AnswerOnce(Answer* answer, std::unique_ptr<Request>* request) {
    *request = Start(answer);
    auto peer = AcceptTls();
    EXPECT_TRUE(With(*peer, [&] { return absl::StrContains(peer->received, "\r\n\r\n"); }));
    peer->out = kOk;
    EXPECT_TRUE(With(*peer, [&] { return answer->ended(); }));
    return peer;
  }

  UniqueKey key_ = tls::NewKey();
  UniqueX509 certificate_ = tls::NewCertificate("endpoint", key_.get());
  UniqueSslCtx server_;
};

TEST_F(UpstreamTlsTest, ARequestGoesOutAndItsResponseComesBackAndTheConnectionIsKept) {
  Answer a, b;
  std::unique_ptr<Request> ra;
  auto peer = AnswerOnce(&a, &ra);
  EXPECT_EQ(a.completions, 1) << a.detail;
  EXPECT_EQ(a.body, "ok");
  EXPECT_EQ(peer->received, "GET /x HTTP/1.1\r\nhost: app.test\r\n\r\n");
  peer->received.clear();
  auto rb = Start(&b, "POST", Framing::kLength, 3);
  rb->SendBody("abc", true);
  ASSERT_TRUE(With(*peer, [&] { return absl::EndsWith(peer->received, "abc"); }));
  peer->out = kOk;
  ASSERT_TRUE(With(*peer, [&] { return b.ended(); }));
  EXPECT_EQ(b.completions, 1);
  EXPECT_EQ(pool_->stats().connects.value(), 1);
}

TEST_F(UpstreamTlsTest, WhatCameUnaskedIsNotTheNextPostsAnswer) {
  Answer a, b;
  std::unique_ptr<Request> ra;
  auto peer = AnswerOnce(&a, &ra);
  Turn();
  peer->out = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
  peer->Work();
  auto rb = Start(&b, "POST", Framing::kLength, 3);
  rb->SendBody("abc", true);
  Turn();
  EXPECT_NE(b.body, "evil");
  EXPECT_EQ(pool_->stats().connects.value(), 2) << "it has a connection of its own";
}

TEST_F(UpstreamTlsTest, ATicketOnAKeptConnectionDoesNotSpoilItForAPost) {
  Answer a, b;
  std::unique_ptr<Request> ra;
  auto peer = AnswerOnce(&a, &ra);
  Turn();
  peer->received.clear();
  ASSERT_TRUE(peer->SendTicket());
  auto rb = Start(&b, "POST", Framing::kLength, 3);
  rb->SendBody("abc", true);
  ASSERT_TRUE(With(*peer, [&] { return absl::EndsWith(peer->received, "abc"); }));
  EXPECT_EQ(pool_->stats().connects.value(), 1);
}

TEST_F(UpstreamTlsTest, AnEndpointThatIsNotBelievedGetsNoOctetOfTheRequest) {
  UniqueKey other = tls::NewKey();
  options_.tls = Context(other.get());
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kLength, 6);
  request->SendBody("secret", true);
  auto peer = AcceptTls();
  ASSERT_TRUE(With(*peer, [&] { return answer.ended(); }));
  EXPECT_EQ(answer.error, ErrorKind::kConnectFailed);
  EXPECT_TRUE(absl::StrContains(answer.detail, "TLS: the certificate's key is none of those")) << answer.detail;
  peer->Work();
  EXPECT_EQ(peer->received, "");
}

TEST_F(UpstreamTlsTest, AnEndpointThatSpeaksNoTlsIsAFailedConnect) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = Accept();
  peer->Send("HTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kConnectFailed);
  EXPECT_TRUE(absl::StrContains(answer.detail, "TLS: ")) << answer.detail;
}

TEST_F(UpstreamTlsTest, AHandshakeThatDoesNotEndIsATimeout) {
  options_.connect_timeout = absl::Seconds(3);
  Answer answer;
  auto request = Start(&answer);
  auto peer = Accept();
  ASSERT_TRUE(Until([&] { return (peer->Poll(), !peer->received.empty()); }));
  Pass(absl::Seconds(4));
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kConnectTimeout);
}

TEST_F(UpstreamTlsTest, BodiesGoThroughBothWaysWithTheCallerPausingAtWill) {
  Answer answer;
  const std::string large(2 << 20, 'x');
  auto request = Start(&answer, "POST", Framing::kLength, large.size());
  size_t given = 0;
  const auto give = [&] {
    while (request->writable() && given < large.size()) {
      const size_t n = std::min<size_t>(32 * 1024, large.size() - given);
      given += n;
      request->SendBody(absl::string_view(large).substr(given - n, n), given == large.size());
    }
  };
  answer.on_writable = give;
  give();
  auto peer = AcceptTls();
  ASSERT_TRUE(With(*peer, [&] { return peer->received.size() >= large.size(); }));
  EXPECT_TRUE(absl::EndsWith(peer->received, large));
  peer->out = absl::StrCat("HTTP/1.1 200 OK\r\ncontent-length: ", large.size(), "\r\n\r\n", large);
  int pauses = 0;
  answer.on_body = [&] {
    request->PauseReading();
    ++pauses;
  };
  ASSERT_TRUE(With(*peer, [&] {
    request->ResumeReading();
    return answer.ended();
  })) << answer.body.size();
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.body.size(), large.size());
  EXPECT_GT(pauses, 50);
}

TEST_F(UpstreamTlsTest, ABodyThatEndsWithTheConnectionMustEndWithCloseNotify) {
  for (bool goodbye : {false, true}) {
    Answer answer;
    auto request = Start(&answer);
    auto peer = AcceptTls();
    ASSERT_TRUE(With(*peer, [&] { return absl::StrContains(peer->received, "\r\n\r\n"); }));
    peer->out = "HTTP/1.1 200 OK\r\n\r\nhalf";
    ASSERT_TRUE(With(*peer, [&] { return answer.body == "half"; }));
    if (goodbye) peer->Goodbye();
    peer->CloseSocket();
    ASSERT_TRUE(Ends(answer));
    EXPECT_EQ(answer.completions, goodbye ? 1 : 0);
    if (!goodbye) {
      EXPECT_EQ(answer.error, ErrorKind::kReset);
    }
  }
}

TEST_F(UpstreamTlsTest, OtherTermsReachNewConnectionsAtOnceAndKeptOnesAreNotUsedAgain) {
  Answer kept_answer, running;
  std::unique_ptr<Request> r1;
  auto busy = AnswerOnce(&kept_answer, &r1);
  auto r2 = Start(&running);
  ASSERT_TRUE(With(*busy, [&] { return absl::StrContains(busy->received, "GET /x HTTP/1.1\r\nhost: app.test\r\n\r\nGET"); }));
  Answer other_answer;
  std::unique_ptr<Request> r3;
  auto idle = AnswerOnce(&other_answer, &r3);
  ASSERT_EQ(pool_->stats().open_connections.value(), 2);

  UniqueKey other = tls::NewKey();
  options_.endpoints = pool_->options().endpoints;
  options_.tls = Context(other.get());
  pool_->Update(options_);
  EXPECT_TRUE(Until([&] { return !idle->Work(); })) << "an idle connection is closed";

  Answer refused;
  auto r4 = Start(&refused);
  auto fresh = AcceptTls();
  ASSERT_TRUE(With(*fresh, [&] { return refused.ended(); }));
  EXPECT_EQ(refused.error, ErrorKind::kConnectFailed);

  busy->out = kOk;
  ASSERT_TRUE(With(*busy, [&] { return running.ended(); }));
  EXPECT_EQ(running.completions, 1) << "what runs goes on";
  EXPECT_TRUE(Until([&] { return !busy->Work(); })) << "and then its connection is closed";
}

}  // namespace
}  // namespace gatehouse::upstream
