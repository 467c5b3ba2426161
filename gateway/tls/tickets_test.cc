// Session tickets: what one gateway seals another opens, and nothing else does.
#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gateway/tls/tls_fixture.h"

namespace gatehouse::tls {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class TicketsTest : public TlsFixture, public ::testing::WithParamInterface<int> {
 protected:
  TicketsTest() { UseGateway(&a_); }

  // A gateway: its own memory, and the keys that it was given.
  struct Gateway {
    std::shared_ptr<SessionCache> cache = std::make_shared<SessionCache>(100);
    std::shared_ptr<TicketKeys> keys = std::make_shared<TicketKeys>();
    std::shared_ptr<const ServerContext> context;
  };
  // Connect goes to this one from now on.
  void UseGateway(Gateway* gateway) {
    if (gateway->context == nullptr) {
      ServerContextOptions o;
      o.names = {Name("a.test", ClientCertificate::kNone), Name("b.test", ClientCertificate::kAllow),
                 Name("c.test", ClientCertificate::kRequire), Name("*.wild.test", ClientCertificate::kRequire)};
      o.session_cache = gateway->cache;
      o.ticket_keys = gateway->keys;
      o.clock = &clock_;
      Use(o);
      gateway->context = context_;
    }
    context_ = gateway->context;
  }
  TicketKey KeyOf(uint8_t seed) {
    TicketKey key;
    key.name.fill(seed);
    key.secret.fill(static_cast<uint8_t>(seed + 100));
    key.issue_until = clock_.Now() + absl::Hours(1);
    key.accept_until = clock_.Now() + absl::Hours(2);
    return key;
  }
  void Share(const std::vector<TicketKey>& keys) {
    a_.keys->Set(keys);
    b_.keys->Set(keys);
  }
  ClientOptions Client(const std::string& sni = "c.test") {
    return {.sni = sni, .certificate = true, .version = GetParam()};
  }
  std::unique_ptr<Pair> Again(const Pair& first, ClientOptions o) {
    o.session = first.session.get();
    auto p = Connect(o);
    // OpenSSL's client does not announce the ticket that renews a TLS 1.2 session.
    if (p->ok && o.version == TLS1_2_VERSION) p->session.reset(SSL_get1_session(p->client.get()));
    return p;
  }
  static std::string TicketOf(const Pair& p) {
    const unsigned char* ticket = nullptr;
    size_t size = 0;
    if (p.session != nullptr) SSL_SESSION_get0_ticket(p.session.get(), &ticket, &size);
    return std::string(reinterpret_cast<const char*>(ticket), size);
  }

  Gateway a_, b_;
};
INSTANTIATE_TEST_SUITE_P(Versions, TicketsTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

std::string Der(X509* x) {
  unsigned char* der = nullptr;
  int size = i2d_X509(x, &der);
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

TEST_P(TicketsTest, ASessionOfOneGatewayResumesAtAnotherWithAllThatWasPresented) {
  Share({KeyOf(1)});
  UniqueKey key = NewKey();
  UniqueX509 intermediate = NewCertificate("intermediate", key.get());
  ClientOptions client = Client();
  client.chain = {intermediate.get()};
  auto first = Connect(client);
  ASSERT_TRUE(first->ok) << first->server->error().text;
  EXPECT_EQ(a_.cache->size(), 0u);

  UseGateway(&b_);
  for (int i = 0; i < 3; ++i) {  // each resumption gives the next ticket
    auto next = Again(*first, client);
    ASSERT_TRUE(next->ok) << next->server->error().text;
    ASSERT_TRUE(next->server->resumed());
    EXPECT_TRUE(next->server->presented_any());
    EXPECT_EQ(*static_cast<const std::string*>(next->server->attached().user.get()), "who");
    ASSERT_THAT(hooks_.revived, SizeIs(2));
    EXPECT_EQ(hooks_.revived[0], Der(client_cert_.get()));
    EXPECT_EQ(hooks_.revived[1], Der(intermediate.get()));
    SSL_write(next->client.get(), "x", 1);
    EXPECT_EQ(ServerReads(next.get()), "x");
    ASSERT_NE(next->session, nullptr);
    first = std::move(next);
  }
}

TEST_P(TicketsTest, ATicketShowsNothingOfWhoHoldsIt) {
  Share({KeyOf(1)});
  auto first = Connect(Client());
  const std::string ticket = TicketOf(*first);
  EXPECT_EQ(ticket.substr(0, 16), std::string(16, 1));
  EXPECT_THAT(ticket, Not(HasSubstr("client")));
  EXPECT_THAT(ticket, Not(HasSubstr(Der(client_cert_.get()).substr(40, 16))));
}

TEST_P(TicketsTest, TrustThatIsGoneMeansACleanFullHandshake) {
  Share({KeyOf(1)});
  auto first = Connect(Client());
  UseGateway(&b_);
  hooks_.resume = false;
  auto again = Again(*first, Client());
  EXPECT_TRUE(again->ok) << again->server->error().text;
  EXPECT_FALSE(again->server->resumed());
  EXPECT_EQ(again->server->attached().user, nullptr);
  EXPECT_THAT(again->server->PresentedChain(), SizeIs(1));
}

TEST_P(TicketsTest, AKeyIsUsedThenAcceptedThenForgotten) {
  Share({KeyOf(1)});
  auto first = Connect(Client());
  clock_.Advance(absl::Minutes(30));
  Share({KeyOf(2), [&] {
           TicketKey old = KeyOf(1);
           old.issue_until = clock_.Now();
           old.accept_until = clock_.Now() + absl::Minutes(10);
           return old;
         }()});
  auto second = Again(*first, Client());
  EXPECT_TRUE(second->server->resumed()) << "the key before is accepted";
  EXPECT_EQ(TicketOf(*second).substr(0, 16), std::string(16, 2)) << "and what follows is sealed with the new one";
  clock_.Advance(absl::Minutes(10));
  auto late = Again(*first, Client());
  EXPECT_TRUE(late->ok);
  EXPECT_FALSE(late->server->resumed()) << "until it is not";
  EXPECT_TRUE(Again(*second, Client())->server->resumed());
}

TEST_P(TicketsTest, AnUnknownKeyMeansACleanFullHandshake) {
  a_.keys->Set({KeyOf(1)});
  b_.keys->Set({KeyOf(2)});
  auto first = Connect(Client());
  UseGateway(&b_);
  auto again = Again(*first, Client());
  EXPECT_TRUE(again->ok);
  EXPECT_FALSE(again->server->resumed());
  // The same name with another secret: the MAC is wrong.
  TicketKey other = KeyOf(1);
  other.secret.fill(9);
  b_.keys->Set({other});
  again = Again(*first, Client());
  EXPECT_TRUE(again->ok);
  EXPECT_FALSE(again->server->resumed());
}

TEST_P(TicketsTest, ATamperedTicketMeansACleanFullHandshake) {
  Share({KeyOf(1)});
  auto first = Connect(Client());
  const std::string ticket = TicketOf(*first);
  ASSERT_GT(ticket.size(), 100u);
  unsigned char* der = nullptr;
  int size = i2d_SSL_SESSION(first->session.get(), &der);
  const std::string session(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  const size_t at = session.find(ticket);
  ASSERT_NE(at, std::string::npos);
  for (size_t i : {size_t{0}, size_t{16}, size_t{40}, ticket.size() / 2, ticket.size() - 33, ticket.size() - 1}) {
    std::string changed = session;
    changed[at + i] = static_cast<char>(changed[at + i] ^ 1);
    const auto* p = reinterpret_cast<const unsigned char*>(changed.data());
    Pair tampered;
    tampered.session.reset(d2i_SSL_SESSION(nullptr, &p, static_cast<long>(changed.size())));
    ASSERT_NE(tampered.session, nullptr);
    auto again = Again(tampered, Client());
    EXPECT_TRUE(again->ok) << i;
    EXPECT_FALSE(again->server->resumed()) << i;
  }
  EXPECT_TRUE(Again(*first, Client())->server->resumed());
}

// As in memory (TlsTest.NoSessionCrossesNamesOrSkipsTheQuestionForACertificate).
TEST_P(TicketsTest, NoTicketCrossesNamesOrSkipsTheQuestionForACertificate) {
  Share({KeyOf(1)});
  const std::string names[] = {"a.test", "b.test", "c.test", "x.wild.test", "y.wild.test", "unknown.test", ""};
  for (const std::string& from : names) {
    for (bool with : {false, true}) {
      UseGateway(&a_);
      ClientOptions o = Client(from);
      o.certificate = with;
      auto first = Connect(o);
      if (first->session == nullptr) continue;
      UseGateway(&b_);
      for (const std::string& to : names) {
        SCOPED_TRACE(absl::StrCat(from, "+", with, " -> ", to));
        const bool asks = to[0] == 'b' || to[0] == 'c' || absl::StrContains(to, "wild");
        auto then = Again(*first, Client(to));
        ASSERT_TRUE(then->ok) << then->server->error().text;
        EXPECT_EQ(then->server->resumed(), from == to && (with || !asks));
      }
    }
  }
}

TEST_P(TicketsTest, AChainOfResumptionsEndsWithTheFirstLifetime) {
  TicketKey key = KeyOf(1);
  key.issue_until = key.accept_until = clock_.Now() + absl::Hours(24);
  Share({key});
  auto p = Connect(Client());
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(absl::Minutes(25));
    p = Again(*p, Client());
    ASSERT_TRUE(p->ok);
    EXPECT_EQ(p->server->resumed(), i < 2) << i;
  }
}

TEST_P(TicketsTest, WithoutAKeySessionsStayInMemory) {
  auto first = Connect(Client());
  EXPECT_EQ(a_.cache->size(), 1u);
  UseGateway(&b_);
  EXPECT_FALSE(Again(*first, Client())->server->resumed());
  UseGateway(&a_);
  EXPECT_TRUE(Again(*first, Client())->server->resumed());
  // One that is resumed from memory when there are keys again is not put in a ticket: its certificates are not at hand.
  first = Connect(Client());
  Share({KeyOf(1)});
  auto again = Again(*first, Client());
  EXPECT_TRUE(again->ok) << again->server->error().text;
  UseGateway(&b_);
  if (again->server->resumed() && again->session != nullptr) {
    EXPECT_FALSE(Again(*again, Client())->server->resumed());
  }
}

TEST_P(TicketsTest, WhatTheServerDoesNotAllowIsInNoTicket) {
  Share({KeyOf(1)});
  hooks_.store = false;
  auto first = Connect(Client());
  ASSERT_TRUE(first->ok);
  EXPECT_EQ(a_.cache->size(), 0u);
  hooks_.store = true;
  if (first->session != nullptr) {
    EXPECT_FALSE(Again(*first, Client())->server->resumed());
  }
}

TEST_P(TicketsTest, CertificatesTooBigForATicketAreNotInOne) {
  Share({KeyOf(1)});
  UniqueKey key = NewKey();
  std::vector<UniqueX509> many;
  ClientOptions client = Client();
  for (int i = 0; i < 20; ++i) {
    many.push_back(LargeCertificate(key.get(), 800));
    client.chain.push_back(many.back().get());
  }
  auto first = Connect(client);
  ASSERT_TRUE(first->ok) << first->server->error().text;
  UseGateway(&b_);
  if (first->session != nullptr) {
    auto again = Again(*first, client);
    EXPECT_TRUE(again->ok) << again->server->error().text;
    EXPECT_FALSE(again->server->resumed());
  }
}

TEST_P(TicketsTest, WithoutTheExtendedMasterSecretTls12IsNotResumed) {
  Share({KeyOf(1)});
  ClientOptions client = Client();
  client.extended_master_secret = false;
  auto first = Connect(client);
  ASSERT_TRUE(first->ok);
  ASSERT_NE(first->session, nullptr);
  EXPECT_EQ(Again(*first, client)->server->resumed(), GetParam() == TLS1_3_VERSION) << "TLS 1.3 has nothing like it";
}

TEST(TicketKeysTest, TheFirstThatMayIssueDoes) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  TicketKeys keys;
  EXPECT_EQ(keys.Issuing(now), nullptr);
  TicketKey one, two;
  one.name.fill(1);
  one.issue_until = now;
  one.accept_until = now + absl::Seconds(1);
  two.name.fill(2);
  two.issue_until = two.accept_until = now + absl::Seconds(5);
  keys.Set({one, two});
  EXPECT_EQ(keys.Issuing(now)->name[0], 2);
  EXPECT_NE(keys.Find(std::string(16, 1), now), nullptr);
  EXPECT_EQ(keys.Find(std::string(16, 1), now + absl::Seconds(1)), nullptr);
  EXPECT_EQ(keys.Find(std::string(16, 3), now), nullptr);
  EXPECT_EQ(keys.Find("short", now), nullptr);
  EXPECT_EQ(keys.Issuing(now + absl::Seconds(5)), nullptr);
}

}  // namespace
}  // namespace gatehouse::tls
