// The gateway as a whole, in this process: real sockets, real TLS, several workers, snapshots that change under load.
#include "gateway/server/gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <optional>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/base/mutex.h"
#include "gateway/certs/ocsp_mint.h"
#include "gateway/certs/test_pki.h"
#include "gateway/config/build.h"
#include "gateway/credentials/password_hash.h"
#include "gateway/tls/impostor_key.h"

namespace gatehouse::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A client certificate and its key, or neither.
struct Caller {
  certs::CertificateRef certificate;
  EVP_PKEY* key = nullptr;
  int further = 0;  // copies of the certificate that are sent behind it
};

struct ClientOptions {
  SSL_SESSION* session = nullptr;  // to be resumed
  int version = TLS1_3_VERSION;
  std::string sni = "localhost";
  // Runs between the client's hello and the rest of its handshake.
  std::function<void()> meanwhile;
};

// One TLS connection; blocking; HTTP/1.1.
class Client {
 public:
  Client(uint16_t port, const Caller& caller, const ClientOptions& options = {}) {
    ctx_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(ctx_.get(), options.version);
    SSL_CTX_set_max_proto_version(ctx_.get(), options.version);
    SSL_CTX_set_session_cache_mode(ctx_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx_.get(), [](SSL* ssl, SSL_SESSION* session) {
      static_cast<Client*>(SSL_get_app_data(ssl))->session_.reset(session);
      return 1;
    });
    if (caller.certificate != nullptr) {
      SSL_CTX_use_certificate(ctx_.get(), caller.certificate->x509());
      SSL_CTX_use_PrivateKey(ctx_.get(), caller.key);
      for (int i = 0; i < caller.further; ++i) SSL_CTX_add1_chain_cert(ctx_.get(), caller.certificate->x509());
    }
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval timeout{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ssl_.reset(SSL_new(ctx_.get()));
    SSL_set_app_data(ssl_.get(), this);
    SSL_set_tlsext_host_name(ssl_.get(), options.sni.c_str());
    if (options.session != nullptr) SSL_set_session(ssl_.get(), options.session);
    open_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 && SSL_set_fd(ssl_.get(), fd_) == 1;
    if (open_ && options.meanwhile) {
      // A message at a time: nothing can be read before the server has answered the hello.
      timeval no_time{0, 1};
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &no_time, sizeof no_time);
      SSL_connect(ssl_.get());
      options.meanwhile();
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    }
    open_ = open_ && SSL_connect(ssl_.get()) == 1;
    TakeOpenSslError();
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    ssl_.reset();
    ::close(fd_);
  }
  bool open() const { return open_; }

  // The status of the answer, or 0 when the connection ended instead.
  int Get(const std::string& path, const std::string& fields = "") {
    if (!open_) return 0;
    std::string request = absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\n", fields, "\r\n");
    if (SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size())) <= 0) return Gone();
    std::string answer;
    char buffer[4096];
    size_t head;
    while ((head = answer.find("\r\n\r\n")) == std::string::npos) {
      int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (n <= 0) return Gone();
      answer.append(buffer, static_cast<size_t>(n));
    }
    size_t at = answer.find("ontent-length: ");
    size_t length = 0;
    if (at != std::string::npos) {
      size_t end = answer.find("\r\n", at);
      if (!absl::SimpleAtoi(answer.substr(at + 15, end - at - 15), &length)) return Gone();
    }
    while (answer.size() < head + 4 + length) {
      int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (n <= 0) return Gone();
      answer.append(buffer, static_cast<size_t>(n));
    }
    body_ = answer.substr(head + 4);
    int status = 0;
    return absl::SimpleAtoi(answer.substr(9, 3), &status) ? status : Gone();
  }
  const std::string& body() const { return body_; }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  // The last session that the server gave; of TLS 1.3 it comes with the first answer.
  SSL_SESSION* session() const { return session_.get(); }
  // Whether the server ends the connection within the time.
  bool EndsWithin(absl::Duration time) {
    timeval timeout = absl::ToTimeval(time);
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    char byte;
    int n = SSL_read(ssl_.get(), &byte, 1);
    bool ended = n <= 0 && SSL_get_error(ssl_.get(), n) != SSL_ERROR_WANT_READ;
    TakeOpenSslError();
    return ended;
  }

 private:
  int Gone() {
    TakeOpenSslError();
    open_ = false;
    return 0;
  }
  UniqueSslCtx ctx_;
  UniqueSession session_;
  UniqueSsl ssl_;
  int fd_ = -1;
  bool open_ = false;
  std::string body_;
};

// Whose fetches end when the test says so.
class HeldFetcher final : public fetch::Fetcher {
 public:
  void Fetch(fetch::FetchRequest, absl::AnyInvocable<void(fetch::FetchResult)> done) override {
    MutexLock lock(&mutex_);
    ++asked_;
    pending_.push_back(std::move(done));
    arrived_.SignalAll();
  }
  // Waits for a fetch and answers it.
  void Answer(std::string body) {
    absl::AnyInvocable<void(fetch::FetchResult)> done;
    {
      MutexLock lock(&mutex_);
      while (pending_.empty()) {
        if (!arrived_.WaitFor(&mutex_, absl::Seconds(10))) {
          ADD_FAILURE() << "nothing was fetched";
          return;
        }
      }
      done = std::move(pending_.front());
      pending_.erase(pending_.begin());
    }
    fetch::FetchResult result;
    result.body = std::move(body);
    done(std::move(result));
  }
  int asked() {
    MutexLock lock(&mutex_);
    return asked_;
  }

 private:
  Mutex mutex_;
  CondVar arrived_;
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<absl::AnyInvocable<void(fetch::FetchResult)>> pending_ ABSL_GUARDED_BY(mutex_);
};

class GatewayTest : public ::testing::Test {
 protected:
  explicit GatewayTest(absl::Duration max_snapshot_age = absl::InfiniteDuration()) {
    GatewayOptions options;
    options.max_snapshot_age = max_snapshot_age;
    options.workers = 2;
    options.event_ring = 1024;
    options.clock = &clock_;
    options.events = [this](events::Batch batch) {
      MutexLock lock(&mutex_);
      while (stuck_) arrived_.Wait(&mutex_);
      for (const events::Event* event : batch) events_.push_back(*event);
      arrived_.SignalAll();
    };
    options.events_kept = [this] { return kept_downstream_.load(); };
    auto fetcher = std::make_unique<HeldFetcher>();
    fetcher_ = fetcher.get();
    options.fetcher = std::move(fetcher);
    gateway_ = *Gateway::Start(std::move(options));
  }

  // With a scheme that asks a responder.
  v1::ConfigSet Online() {
    v1::ConfigSet set = Config({kept_.certificate});
    v1::Revocation* revocation = set.mutable_schemes(0)->mutable_client_certificate()->mutable_revocation();
    revocation->set_mode(v1::Revocation::ONLINE);
    revocation->set_ocsp_url("http://ocsp.test/");
    revocation->set_ocsp_nonce(false);
    revocation->mutable_max_age()->set_seconds(600);
    // Remembered verdicts must not outlive what becomes known.
    set.mutable_schemes(0)->mutable_client_certificate()->mutable_verdict_ttl()->set_seconds(3600);
    return set;
  }
  std::string OcspAnswer(const Caller& caller, certs::OcspStatus status) {
    certs::MintOcspRequest request;
    request.issuer = kept_.certificate;
    request.answers.push_back({caller.certificate, status, clock_.Now(), clock_.Now() + absl::Hours(1), clock_.Now(), {}});
    request.produced_at = clock_.Now();
    return *MintOcspAnswer(request, kept_.signer());
  }

  v1::ConfigSet Config(const std::vector<certs::CertificateRef>& anchors) {
    v1::ConfigSet set;
    auto* server = set.add_server_certificates();
    server->set_name("server");
    certs::MintRequest request = certs::Request(certs::Profile::kSelfSigned, "CN=localhost");
    request.server_use = true;
    request.sans = {{certs::SanKind::kDns, "localhost"}};
    if (server_ == nullptr) server_ = certs::Make(request, certs::KeyAt(20));
    server->set_certificate_chain_pem(server_->ToPem());
    server->set_private_key_pem(std::string(certs::KeyToPem(certs::KeyAt(20))->Reveal()));
    auto* listener = set.add_listeners();
    listener->set_name("edge");
    listener->set_address("127.0.0.1:0");
    listener->add_server_certificates("server");
    auto* store = set.add_trust_stores();
    store->set_name("partners");
    for (const certs::CertificateRef& anchor : anchors) store->add_anchors()->set_pem(anchor->ToPem());
    auto* scheme = set.add_schemes();
    scheme->set_name("Certificate");
    scheme->mutable_client_certificate()->set_trust_store("partners");
    auto* users = set.add_user_stores();
    users->set_name("staff");
    auto* basic = set.add_schemes();
    basic->set_name("Basic");
    basic->mutable_basic()->set_user_store("staff");
    for (auto [name, path, schemes] : {std::tuple{"secure", "/secure", "Certificate"}, {"basic", "/basic", "Basic"}}) {
      auto* route = set.add_routes();
      route->set_name(name);
      route->mutable_match()->set_path(path);
      route->mutable_require()->add_any_of(schemes);
      route->mutable_fixed_response()->set_body("ok");
    }
    return set;
  }

  // Installs and waits until it is in force, or refused.
  absl::Status Install(const v1::ConfigSet& set) {
    config::BuildOptions options;
    options.revision = ++revision_;
    options.incarnation = "test";
    std::shared_ptr<const config::Snapshot> previous = gateway_->current();
    options.previous = previous.get();
    config::BuildResult built = config::Build(set, options);
    for (const config::Violation& v : built.violations) ADD_FAILURE() << v.path << ": " << v.message;
    if (!built.ok()) return absl::InternalError("not built");
    return InstallSnapshot(built.snapshot);
  }
  absl::Status InstallSnapshot(std::shared_ptr<const config::Snapshot> snapshot) {
    std::optional<absl::Status> result;
    gateway_->Install(std::move(snapshot), [&](absl::Status status) {
      MutexLock lock(&mutex_);
      result = std::move(status);
      arrived_.SignalAll();
    });
    MutexLock lock(&mutex_);
    while (!result) arrived_.Wait(&mutex_);
    return *result;
  }

  uint16_t Port() {
    std::string address = gateway_->listeners().at(0).address;
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
    return static_cast<uint16_t>(port);
  }

  template <typename Predicate>
  events::Event WaitForEvent(Predicate predicate) {
    MutexLock lock(&mutex_);
    for (;;) {
      for (const events::Event& event : events_) {
        if (predicate(event)) return event;
      }
      if (!arrived_.WaitFor(&mutex_, absl::Seconds(10))) {
        ADD_FAILURE() << "no such event";
        return {};
      }
    }
  }

  Caller CallerOf(const certs::Authority& ca, const std::string& name, size_t key) {
    return {certs::Leaf(ca, name, key), certs::KeyAt(key)};
  }

  FakeClock clock_{certs::kTestNow};
  Mutex mutex_;
  CondVar arrived_;
  std::vector<events::Event> events_;
  bool stuck_ = false;  // those behind the events take none
  std::atomic<bool> kept_downstream_{true};
  uint64_t revision_ = 0;
  certs::CertificateRef server_;
  HeldFetcher* fetcher_ = nullptr;
  std::unique_ptr<Gateway> gateway_;
  const certs::Authority kept_ = certs::Root("CN=Kept", 1);
  const certs::Authority gone_ = certs::Root("CN=Gone", 2);
};

// A route that wants every request told, and one that does not mind.
v1::ConfigSet Audited(v1::ConfigSet set) {
  for (const char* name : {"audited", "careless"}) {
    auto* route = set.add_routes();
    route->set_name(name);
    route->mutable_match()->set_path(absl::StrCat("/", name));
    route->set_anonymous(true);
    route->mutable_fixed_response()->set_body("ok");
  }
  set.mutable_routes(set.routes_size() - 2)->mutable_events()->set_on_loss(v1::EventPolicy::REFUSE);
  return set;
}

TEST_F(GatewayTest, WhatWasMadeToFollowOneConfigurationDoesNotReplaceAnother) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  const std::shared_ptr<const config::Snapshot> first = gateway_->current();
  const auto replace = [&](const std::string& incarnation, std::shared_ptr<const config::Snapshot> expected) {
    config::BuildOptions options;
    options.revision = 1;
    options.incarnation = incarnation;
    std::promise<absl::Status> done;
    gateway_->Replace(std::move(expected), config::Build(Config({kept_.certificate}), options).snapshot,
                      [&](absl::Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  };
  EXPECT_TRUE(replace("other", first).ok());
  EXPECT_EQ(replace("test", first).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(gateway_->current()->incarnation, "other");
}

TEST_F(GatewayTest, RefusesOnARouteThatMustBeToldWhatCouldNotBeKept) {
  ASSERT_TRUE(Install(Audited(Config({kept_.certificate}))).ok());
  Client client(Port(), {});
  EXPECT_EQ(client.Get("/audited"), 200);
  kept_downstream_ = false;
  EXPECT_EQ(client.Get("/audited"), 503);
  EXPECT_EQ(client.Get("/careless"), 200);
  events::Event refused = WaitForEvent([](const events::Event& e) { return e.reason == Reason::kAuditUnavailable; });
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.outcome, events::Outcome::kRefused);
  kept_downstream_ = true;
  EXPECT_EQ(client.Get("/audited"), 200);
}

TEST_F(GatewayTest, RefusesOnARouteThatMustBeToldWhenTheRingIsFullAndLosesNoneThatItLetIn) {
  ASSERT_TRUE(Install(Audited(Config({kept_.certificate}))).ok());
  {
    MutexLock lock(&mutex_);
    stuck_ = true;
  }
  Client client(Port(), {});
  int let_in = 0;
  int status = 0;
  for (int i = 0; i < 5000 && (status = client.Get("/audited")) == 200; ++i) ++let_in;
  EXPECT_EQ(status, 503);
  EXPECT_EQ(client.Get("/careless"), 200) << "its event is lost";
  {
    MutexLock lock(&mutex_);
    stuck_ = false;
    arrived_.SignalAll();
  }
  // Some turns of the collector empty the ring.
  for (int i = 0; i < 1000 && (status = client.Get("/audited")) == 503; ++i) {
  }
  EXPECT_EQ(status, 200);
  WaitForEvent([&](const events::Event& e) { return e.dropped_before != 0; });
  MutexLock lock(&mutex_);
  const auto told = std::count_if(events_.begin(), events_.end(), [](const events::Event& e) {
    return e.outcome == events::Outcome::kAllowed && e.facts->route == "audited";
  });
  EXPECT_GE(told, let_in);
}

TEST_F(GatewayTest, RefusesAConfigurationWhoseLogCannotBeOpened) {
  v1::ConfigSet set = Config({kept_.certificate});
  set.mutable_listeners(0)->mutable_access_log()->set_file("/nonexistent/access.log");
  const absl::Status status = Install(set);
  EXPECT_THAT(std::string(status.message()), HasSubstr("listeners[\"edge\"].access_log.file: /nonexistent/access.log cannot be opened"));
  EXPECT_EQ(ViolationOf(status).path, "listeners[\"edge\"].access_log.file");
}

TEST_F(GatewayTest, LetsInWhoseCertificateHasAPathAndSaysSoOnTheEventLane) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  EXPECT_EQ(Client(Port(), CallerOf(kept_, "CN=alice", 3)).Get("/secure"), 200);
  EXPECT_EQ(Client(Port(), CallerOf(gone_, "CN=mallory", 4)).Get("/secure"), 401);
  EXPECT_EQ(Client(Port(), {}).Get("/secure"), 401);

  events::Event allowed = WaitForEvent([](const events::Event& e) { return e.outcome == events::Outcome::kAllowed; });
  EXPECT_EQ(allowed.facts->principal, "CN=alice");
  EXPECT_EQ(allowed.facts->peer->possession, events::Possession::kProven);
  EXPECT_EQ(allowed.facts->route, "secure");
  EXPECT_EQ(*allowed.facts->peer->server_name, "localhost");
  events::Event refused = WaitForEvent([](const events::Event& e) { return e.reason == Reason::kUnknownIssuer; });
  EXPECT_EQ(refused.facts->peer->certificate->subject, "CN=mallory");
  EXPECT_EQ(refused.facts->principal, "");
  WaitForEvent([](const events::Event& e) { return e.reason == Reason::kNoCertificate; });
}

TEST_F(GatewayTest, NothingIsServedBeforeASnapshotIsInForce) { EXPECT_TRUE(gateway_->listeners().empty()); }

TEST_F(GatewayTest, ARequestOnALiveConnectionAfterTheChangeIsDecidedUnderIt) {
  ASSERT_TRUE(Install(Config({kept_.certificate, gone_.certificate})).ok());
  // A second client certificate scheme's store would keep the connection; without one the sweep closes it, which is as
  // good an answer.
  Client kept(Port(), CallerOf(kept_, "CN=alice", 3));
  Client gone(Port(), CallerOf(gone_, "CN=mallory", 4));
  ASSERT_EQ(kept.Get("/secure"), 200);
  ASSERT_EQ(gone.Get("/secure"), 200);

  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());

  EXPECT_THAT(gone.Get("/secure"), ::testing::AnyOf(0, 401));
  EXPECT_EQ(kept.Get("/secure"), 200);
  EXPECT_EQ(Client(Port(), CallerOf(gone_, "CN=mallory", 4)).Get("/secure"), 401);
}

TEST_F(GatewayTest, AFailedHandshakeIsAnEventWithWhatIsKnown) {
  v1::ConfigSet set = Config({kept_.certificate});
  set.mutable_listeners(0)->set_client_certificate(v1::Listener::REQUIRE);
  set.mutable_listeners(0)->set_verify_with("Certificate");
  ASSERT_TRUE(Install(set).ok());
  EXPECT_EQ(Client(Port(), {}).Get("/secure"), 0);
  EXPECT_EQ(Client(Port(), CallerOf(gone_, "CN=mallory", 4)).Get("/secure"), 0);
  UniqueKey impostor = tls::ImpostorKey(certs::KeyAt(3), certs::KeyAt(4));
  EXPECT_EQ(Client(Port(), {certs::Leaf(kept_, "CN=alice", 3), impostor.get()}).Get("/secure"), 0);

  const auto failed = [&](Reason reason) {
    events::Event e = WaitForEvent([=](const events::Event& event) { return event.reason == reason; });
    EXPECT_EQ(e.kind, events::EventKind::kHandshake);
    EXPECT_EQ(e.outcome, events::Outcome::kRefused);
    EXPECT_EQ(*e.facts->peer->listener, "edge");
    EXPECT_EQ(*e.facts->peer->server_name, "localhost");
    EXPECT_THAT(e.facts->peer->address.ToString(), HasSubstr("127.0.0.1:"));
    EXPECT_NE(e.facts->detail, "");
    return e;
  };
  events::Event none = failed(Reason::kNoCertificate);
  EXPECT_EQ(none.facts->peer->certificate, nullptr);
  EXPECT_EQ(none.facts->peer->possession, events::Possession::kNone);
  events::Event refused = failed(Reason::kUnknownIssuer);
  EXPECT_EQ(refused.facts->peer->certificate->subject, "CN=mallory");
  EXPECT_EQ(refused.facts->peer->possession, events::Possession::kUnproven);
  events::Event unproven = failed(Reason::kPossessionNotProven);
  EXPECT_EQ(unproven.facts->peer->certificate->subject, "CN=alice");
  EXPECT_EQ(unproven.facts->peer->possession, events::Possession::kUnproven);
  EXPECT_THAT(unproven.facts->detail, HasSubstr("signature"));
}

TEST_F(GatewayTest, MoreCertificatesThanAnybodyNeedsAreRefusedUnreadAndAnEventSaysSo) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  Caller alice = CallerOf(kept_, "CN=alice", 3);
  alice.further = 5;
  EXPECT_EQ(Client(Port(), alice).Get("/secure"), 200);
  alice.further = 60;
  EXPECT_EQ(Client(Port(), alice).Get("/secure"), 0);
  events::Event event = WaitForEvent([](const events::Event& e) { return e.reason == Reason::kLimitExceeded; });
  EXPECT_EQ(event.kind, events::EventKind::kHandshake);
  EXPECT_THAT(event.facts->detail, HasSubstr("more than 24 certificates"));
  EXPECT_EQ(event.facts->peer->certificate, nullptr) << "nobody read it";
}

TEST_F(GatewayTest, WhoIsStillTrustedResumesAcrossATrustChangeAndNobodyElseDoes) {
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    ASSERT_TRUE(Install(Config({kept_.certificate, gone_.certificate})).ok());
    Client kept(Port(), CallerOf(kept_, "CN=alice", 3), {.version = version});
    Client gone(Port(), CallerOf(gone_, "CN=mallory", 4), {.version = version});
    ASSERT_EQ(kept.Get("/secure"), 200);
    ASSERT_EQ(gone.Get("/secure"), 200);

    ASSERT_TRUE(Install(Config({kept_.certificate})).ok());

    Client again(Port(), CallerOf(kept_, "CN=alice", 3), {.session = kept.session(), .version = version});
    EXPECT_EQ(again.Get("/secure"), 200);
    EXPECT_TRUE(again.resumed());
    Client refused(Port(), CallerOf(gone_, "CN=mallory", 4), {.session = gone.session(), .version = version});
    EXPECT_EQ(refused.Get("/secure"), 401);
    EXPECT_FALSE(refused.resumed());
  }
}

TEST_F(GatewayTest, ASessionDoesNotSkipWhatTheHandshakeDemandsNow) {
  v1::ConfigSet set = Config({kept_.certificate, gone_.certificate});
  ASSERT_TRUE(Install(set).ok());
  Client before(Port(), CallerOf(gone_, "CN=mallory", 4));
  ASSERT_EQ(before.Get("/secure"), 200);
  // verify_with names a scheme that does not accept what another one, reachable here, still does.
  auto* store = set.add_trust_stores();
  store->set_name("few");
  store->add_anchors()->set_pem(kept_.certificate->ToPem());
  auto* scheme = set.add_schemes();
  scheme->set_name("Few");
  scheme->mutable_client_certificate()->set_trust_store("few");
  set.mutable_listeners(0)->set_verify_with("Few");
  ASSERT_TRUE(Install(set).ok());
  Client mallory(Port(), CallerOf(gone_, "CN=mallory", 4), {.session = before.session()});
  EXPECT_EQ(mallory.Get("/secure"), 0);
  // The same when the scheme of verify_with loses an anchor.
  store->add_anchors()->set_pem(gone_.certificate->ToPem());
  ASSERT_TRUE(Install(set).ok());
  Client accepted(Port(), CallerOf(gone_, "CN=mallory", 4));
  ASSERT_EQ(accepted.Get("/secure"), 200);
  store->mutable_anchors()->RemoveLast();
  ASSERT_TRUE(Install(set).ok());
  Client after(Port(), CallerOf(gone_, "CN=mallory", 4), {.session = accepted.session()});
  EXPECT_EQ(after.Get("/secure"), 0);
}

TEST_F(GatewayTest, AHandshakeThatAChangeOvertakesIsHeldToWhatIsAskedNow) {
  v1::ConfigSet none = Config({kept_.certificate});
  none.mutable_routes(0)->mutable_require()->add_any_of("Basic");
  none.mutable_listeners(0)->set_client_certificate(v1::Listener::NONE);
  v1::ConfigSet allow = none;
  allow.mutable_listeners(0)->set_client_certificate(v1::Listener::ALLOW);
  ASSERT_TRUE(Install(none).ok());
  Client idle(Port(), {});
  ASSERT_EQ(idle.Get("/secure"), 401);
  Client late(Port(), CallerOf(kept_, "CN=alice", 3), {.meanwhile = [&] { ASSERT_TRUE(Install(allow).ok()); }});
  EXPECT_TRUE(idle.EndsWithin(absl::Seconds(5))) << "never asked";
  EXPECT_TRUE(late.EndsWithin(absl::Seconds(5))) << "never asked either";
  Client fresh(Port(), CallerOf(kept_, "CN=alice", 3));
  EXPECT_EQ(fresh.Get("/secure"), 200);
}

TEST_F(GatewayTest, WhoNeverCameInByItsCertificateIsNotTouchedByAChangeOfTrust) {
  v1::ConfigSet set = Config({kept_.certificate});
  auto* user = set.mutable_user_stores(0)->add_users();
  user->set_name("bob");
  user->add_password_hashes(
      *credentials::HashPassword(credentials::HashKind::kBcrypt, "secret", {.bcrypt_cost = 4}));
  ASSERT_TRUE(Install(set).ok());
  const std::string bob = "Authorization: Basic Ym9iOnNlY3JldA==\r\n";
  Client client(Port(), CallerOf(gone_, "CN=stranger", 4));
  ASSERT_EQ(client.Get("/secure"), 401);
  ASSERT_EQ(client.Get("/basic", bob), 200);
  Client witness(Port(), CallerOf(kept_, "CN=alice", 3));
  ASSERT_EQ(witness.Get("/secure"), 200);

  v1::ConfigSet other = set;
  other.mutable_trust_stores(0)->mutable_anchors(0)->set_pem(certs::Root("CN=Third", 6).certificate->ToPem());
  ASSERT_TRUE(Install(other).ok());
  WaitForEvent([](const events::Event& e) { return e.kind == events::EventKind::kCut && e.facts->connections == 1; });
  EXPECT_TRUE(witness.EndsWithin(absl::Seconds(5)));
  EXPECT_EQ(client.Get("/basic", bob), 200);
}

TEST_F(GatewayTest, ASweepOfManyEndsTheWithdrawnAndNobodyElse) {
  ASSERT_TRUE(Install(Config({kept_.certificate, gone_.certificate})).ok());
  std::vector<std::unique_ptr<Client>> kept, gone;
  for (int i = 0; i < 200; ++i) {
    kept.push_back(std::make_unique<Client>(Port(), CallerOf(kept_, "CN=alice", 3)));
    gone.push_back(std::make_unique<Client>(Port(), CallerOf(gone_, absl::StrCat("CN=mallory ", i), 4)));
    ASSERT_EQ(kept.back()->Get("/secure"), 200);
    ASSERT_EQ(gone.back()->Get("/secure"), 200);
  }
  // Changes that follow each other closely must not keep a sweep from its end.
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  ASSERT_TRUE(Install(Config({kept_.certificate, certs::Root("CN=Third", 6).certificate})).ok());
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  for (auto& client : gone) EXPECT_TRUE(client->EndsWithin(absl::Seconds(5)));
  for (auto& client : kept) EXPECT_EQ(client->Get("/secure"), 200);
}

// Those whose handshakes end last take another place among the connections of their worker.
TEST_F(GatewayTest, ASweepMeetsThoseWhoseHandshakesEndedInAnotherOrder) {
  ASSERT_TRUE(Install(Config({kept_.certificate, gone_.certificate})).ok());
  std::vector<std::unique_ptr<Client>> kept, gone;
  const std::function<void(int)> join = [&](int depth) {
    if (depth == 0) return;
    const bool stays = depth % 2 == 0;
    auto& to = stays ? kept : gone;
    to.push_back(std::make_unique<Client>(
        Port(), stays ? CallerOf(kept_, "CN=alice", 3) : CallerOf(gone_, "CN=mallory", 4),
        ClientOptions{.meanwhile = [&join, depth] { join(depth - 1); }}));
    ASSERT_EQ(to.back()->Get("/secure"), 200) << depth;
  };
  for (int i = 0; i < 10; ++i) {
    join(8);
    kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(kept.size() / 2));  // and some go
  }
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  for (auto& client : gone) EXPECT_TRUE(client->EndsWithin(absl::Seconds(5)));
  for (auto& client : kept) EXPECT_EQ(client->Get("/secure"), 200);
}

TEST_F(GatewayTest, ARequestWaitsUntilRevocationIsKnownAndOthersDoNot) {
  ASSERT_TRUE(Install(Online()).ok());
  const Caller alice = CallerOf(kept_, "CN=alice", 3);
  Client client(Port(), alice), other(Port(), {});
  EXPECT_EQ(fetcher_->asked(), 0) << "nothing is asked before a request needs it";
  int status = 0;
  std::thread waiting([&] { status = client.Get("/secure"); });
  EXPECT_EQ(other.Get("/basic"), 401);
  fetcher_->Answer(OcspAnswer(alice, certs::OcspStatus::kGood));
  waiting.join();
  EXPECT_EQ(status, 200);
  EXPECT_EQ(Client(Port(), alice).Get("/secure"), 200);
  EXPECT_EQ(fetcher_->asked(), 1);

  const Caller bob = CallerOf(kept_, "CN=bob", 4);
  std::thread revoked([&] { status = Client(Port(), bob).Get("/secure"); });
  fetcher_->Answer(OcspAnswer(bob, certs::OcspStatus::kRevoked));
  revoked.join();
  EXPECT_EQ(status, 401);
  WaitForEvent([](const events::Event& e) { return e.reason == Reason::kRevoked; });
}

TEST_F(GatewayTest, WhenTheTimeIsOverOnUnknownDecides) {
  v1::ConfigSet set = Online();
  v1::Revocation* revocation = set.mutable_schemes(0)->mutable_client_certificate()->mutable_revocation();
  revocation->mutable_timeout()->set_nanos(200'000'000);
  ASSERT_TRUE(Install(set).ok());
  const Caller alice = CallerOf(kept_, "CN=alice", 3);
  EXPECT_EQ(Client(Port(), alice).Get("/secure"), 401);
  WaitForEvent([](const events::Event& e) { return e.reason == Reason::kRevocationUnknown; });
  revocation->set_on_unknown(v1::Revocation::ALLOW);
  ASSERT_TRUE(Install(set).ok());
  EXPECT_EQ(Client(Port(), alice).Get("/secure"), 200);
  // A client that goes while it waits leaves nothing behind.
  const Caller bob = CallerOf(kept_, "CN=bob", 4);
  { Client gone(Port(), bob); }
}

TEST_F(GatewayTest, NothingIsFetchedForWhoHasNotProvenPossession) {
  v1::ConfigSet set = Online();
  set.mutable_listeners(0)->set_verify_with("Certificate");
  ASSERT_TRUE(Install(set).ok());
  const Caller alice = CallerOf(kept_, "CN=alice", 3);
  UniqueKey impostor = tls::ImpostorKey(certs::KeyAt(3), certs::KeyAt(4));
  EXPECT_EQ(Client(Port(), {alice.certificate, impostor.get()}).Get("/secure"), 0);
  EXPECT_EQ(fetcher_->asked(), 0);
  // Whoever has the key is not turned away for an answer that nobody could fetch yet.
  int status = 0;
  std::thread waiting([&] { status = Client(Port(), alice).Get("/secure"); });
  fetcher_->Answer(OcspAnswer(alice, certs::OcspStatus::kGood));
  waiting.join();
  EXPECT_EQ(status, 200);
}

// A route that anybody may ask, on a listener whose handshakes are judged.
v1::ConfigSet Judged(v1::ConfigSet set) {
  auto* open = set.add_routes();
  open->set_name("open");
  open->mutable_match()->set_path("/open");
  open->set_anonymous(true);
  open->mutable_fixed_response()->set_body("ok");
  set.mutable_listeners(0)->set_verify_with("Certificate");
  return set;
}

TEST_F(GatewayTest, WhereTheHandshakeJudgesAnAnonymousRequestWaitsForTheVerdictToo) {
  ASSERT_TRUE(Install(Judged(Online())).ok());
  const Caller alice = CallerOf(kept_, "CN=alice", 3), bob = CallerOf(kept_, "CN=bob", 4);
  Client good(Port(), alice), revoked(Port(), bob);
  ASSERT_TRUE(good.open() && revoked.open()) << "nobody can be asked before possession is proven";
  int status = 0;
  std::thread waiting([&] { status = good.Get("/open"); });
  fetcher_->Answer(OcspAnswer(alice, certs::OcspStatus::kGood));
  waiting.join();
  EXPECT_EQ(status, 200);
  EXPECT_EQ(good.Get("/nowhere"), 404);

  std::thread refused([&] { status = revoked.Get("/open"); });
  fetcher_->Answer(OcspAnswer(bob, certs::OcspStatus::kRevoked));
  refused.join();
  EXPECT_EQ(status, 401);
  EXPECT_EQ(revoked.Get("/nowhere"), 401) << "which routes there are is nothing for it to know";
  EXPECT_EQ(revoked.Get("/basic"), 401);
  events::Event event = WaitForEvent([](const events::Event& e) { return e.reason == Reason::kRevoked; });
  EXPECT_EQ(event.kind, events::EventKind::kDecision);
  EXPECT_EQ(event.facts->peer->certificate->subject, "CN=bob");
  EXPECT_THAT(event.facts->schemes, ElementsAre("Certificate"));
  EXPECT_EQ(event.facts->principal, "");
  // It is known now: the next handshake fails.
  EXPECT_FALSE(Client(Port(), bob).Get("/open"));
  EXPECT_EQ(Client(Port(), {}).Get("/open"), 200) << "who presents nothing has nothing that could be refused";
}

TEST_F(GatewayTest, WhereTheHandshakeJudgesOnUnknownDecidesForAnonymousRequestsToo) {
  v1::ConfigSet set = Judged(Online());
  v1::Revocation* revocation = set.mutable_schemes(0)->mutable_client_certificate()->mutable_revocation();
  revocation->mutable_timeout()->set_nanos(200'000'000);
  ASSERT_TRUE(Install(set).ok());
  const Caller alice = CallerOf(kept_, "CN=alice", 3);
  Client client(Port(), alice);
  EXPECT_EQ(client.Get("/open"), 401);
  WaitForEvent([](const events::Event& e) { return e.reason == Reason::kRevocationUnknown; });
  revocation->set_on_unknown(v1::Revocation::ALLOW);
  ASSERT_TRUE(Install(set).ok());
  EXPECT_EQ(Client(Port(), alice).Get("/open"), 200);
  // Without anybody who could be asked it is the handshake that refuses.
  revocation->set_on_unknown(v1::Revocation::REFUSE);
  revocation->set_mode(v1::Revocation::OFFLINE);
  revocation->clear_ocsp_url();
  ASSERT_TRUE(Install(set).ok());
  EXPECT_EQ(Client(Port(), CallerOf(kept_, "CN=carol", 5)).Get("/open"), 0);
}

TEST_F(GatewayTest, WhereTheHandshakeJudgesAChangeOfTrustReachesAnonymousRequests) {
  // Another scheme goes on accepting the certificate: it is not the one that this listener is judged by.
  v1::ConfigSet set = Judged(Config({kept_.certificate, gone_.certificate}));
  auto* store = set.add_trust_stores();
  store->set_name("all");
  for (const auto& anchor : {kept_.certificate, gone_.certificate}) store->add_anchors()->set_pem(anchor->ToPem());
  auto* scheme = set.add_schemes();
  scheme->set_name("All");
  scheme->mutable_client_certificate()->set_trust_store("all");
  set.mutable_routes(0)->mutable_require()->add_any_of("All");
  ASSERT_TRUE(Install(set).ok());
  Client kept(Port(), CallerOf(kept_, "CN=alice", 3)), gone(Port(), CallerOf(gone_, "CN=mallory", 4));
  ASSERT_EQ(kept.Get("/open"), 200);
  ASSERT_EQ(gone.Get("/open"), 200);
  set.mutable_trust_stores(0)->mutable_anchors()->RemoveLast();
  ASSERT_TRUE(Install(set).ok());
  EXPECT_THAT(gone.Get("/open"), ::testing::AnyOf(0, 401));
  EXPECT_TRUE(gone.EndsWithin(absl::Seconds(5)));
  EXPECT_EQ(kept.Get("/open"), 200);
}

TEST_F(GatewayTest, WhoTurnsOutRevokedIsCutAndNobodyElse) {
  ASSERT_TRUE(Install(Online()).ok());
  const Caller alice = CallerOf(kept_, "CN=alice", 3), bob = CallerOf(kept_, "CN=bob", 4);
  Client first(Port(), alice), second(Port(), bob);
  for (auto [client, caller] : {std::pair{&first, alice}, {&second, bob}}) {
    int status = 0;
    std::thread waiting([&, c = client] { status = c->Get("/secure"); });
    fetcher_->Answer(OcspAnswer(caller, certs::OcspStatus::kGood));
    waiting.join();
    EXPECT_EQ(status, 200);
  }
  // Both are in use, so both are asked about again before the ten minutes are over.
  clock_.Advance(absl::Minutes(8));
  const std::string news = OcspAnswer(alice, certs::OcspStatus::kRevoked);
  fetcher_->Answer(news);
  fetcher_->Answer(news);  // what is about somebody else is no answer
  EXPECT_TRUE(first.EndsWithin(absl::Seconds(5)));
  EXPECT_EQ(second.Get("/secure"), 200);
  WaitForEvent([](const events::Event& e) { return e.kind == events::EventKind::kCut; });
  EXPECT_EQ(Client(Port(), alice).Get("/secure"), 401);
}

TEST_F(GatewayTest, AVerdictIsNotBelievedBeyondTheCertificate) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  Client client(Port(), CallerOf(kept_, "CN=alice", 3));
  ASSERT_EQ(client.Get("/secure"), 200);
  clock_.Advance(absl::Hours(24 * 31));
  EXPECT_EQ(client.Get("/secure"), 401);
  WaitForEvent([](const events::Event& e) { return e.reason == Reason::kExpired; });
}

// Follows nobody but itself: what it has grows old.
class AgingGatewayTest : public GatewayTest {
 protected:
  AgingGatewayTest() : GatewayTest(absl::Minutes(10)) {}
  v1::ConfigSet Anonymous() {
    v1::ConfigSet set = Config({kept_.certificate});
    auto* route = set.add_routes();
    route->set_name("open");
    route->mutable_match()->set_path("/open");
    route->set_anonymous(true);
    route->mutable_fixed_response()->set_body("ok");
    return set;
  }
};

TEST_F(AgingGatewayTest, UnderAConfigurationThatIsTooOldNobodyIsAuthenticatedUntilItIsConfirmed) {
  ASSERT_TRUE(Install(Anonymous()).ok());
  Client client(Port(), CallerOf(kept_, "CN=alice", 3));
  clock_.Advance(absl::Minutes(9));
  EXPECT_EQ(client.Get("/secure"), 200);
  EXPECT_EQ(gateway_->NotReady(), "");

  clock_.Advance(absl::Minutes(2));
  const events::Event notice = WaitForEvent([](const events::Event& e) {
    return e.kind == events::EventKind::kGateway && e.reason == Reason::kVerifierUnavailable;
  });
  EXPECT_THAT(notice.facts->detail, HasSubstr("--max-snapshot-age"));
  EXPECT_EQ(client.Get("/secure"), 503);
  EXPECT_EQ(client.Get("/basic"), 503);
  EXPECT_EQ(client.Get("/open"), 200);
  EXPECT_THAT(gateway_->NotReady(), HasSubstr("--max-snapshot-age"));
  EXPECT_THAT(gateway_->MetricsText(), HasSubstr("gatehouse_snapshot_age_seconds 660"));
  const events::Event refused = WaitForEvent([](const events::Event& e) { return e.status == 503; });
  EXPECT_EQ(refused.reason, Reason::kVerifierUnavailable);

  gateway_->ConfirmNewest(clock_.Now());
  EXPECT_EQ(client.Get("/secure"), 200);
  EXPECT_EQ(gateway_->NotReady(), "");
  WaitForEvent([](const events::Event& e) {
    return e.kind == events::EventKind::kGateway && absl::StrContains(e.facts->detail, "confirmed again");
  });
}

TEST_F(GatewayTest, WithoutALimitAConfigurationNeverGrowsTooOld) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  clock_.Advance(absl::Hours(24));
  EXPECT_EQ(gateway_->snapshot_age(), absl::Hours(24));
  EXPECT_EQ(Client(Port(), CallerOf(kept_, "CN=alice", 3)).Get("/secure"), 200);
}

TEST_F(GatewayTest, WhatTheCodecRefusesHasAProblemBodyWhoseRequestIdIsTheEvents) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  Client client(Port(), {});
  EXPECT_EQ(client.Get("/<script>%zz"), 400);
  EXPECT_THAT(client.body(), HasSubstr("\"detail\":\"The request is malformed.\""));
  EXPECT_THAT(client.body(), ::testing::Not(HasSubstr("script")));
  events::Event event = WaitForEvent([](const events::Event& e) { return e.reason == Reason::kMalformedRequest; });
  EXPECT_FALSE(event.request().request_id.empty());
  EXPECT_THAT(client.body(), HasSubstr(std::string(event.request().request_id)));
}

TEST_F(GatewayTest, PasswordsAreCheckedOffTheLoopAndRememberedForTheConnection) {
  v1::ConfigSet set = Config({kept_.certificate});
  auto* user = set.mutable_user_stores(0)->add_users();
  user->set_name("bob");
  user->add_password_hashes(
      *credentials::HashPassword(credentials::HashKind::kBcrypt, "secret", {.bcrypt_cost = 4}));
  ASSERT_TRUE(Install(set).ok());
  Client client(Port(), {});
  EXPECT_EQ(client.Get("/basic"), 401);
  EXPECT_EQ(client.Get("/basic", "Authorization: Basic Ym9iOnNlY3JldA==\r\n"), 200);
  EXPECT_EQ(client.Get("/basic", "Authorization: Basic Ym9iOnNlY3JldA==\r\n"), 200);
  EXPECT_EQ(client.Get("/basic", "Authorization: Basic Ym9iOndyb25n\r\n"), 401);
  WaitForEvent([](const events::Event& e) { return e.reason == Reason::kWrongPassword; });
}

TEST_F(GatewayTest, AnOlderRevisionOfTheSameStoreIsRefusedAndTheNewerOneStays) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  ASSERT_TRUE(Install(Config({kept_.certificate, gone_.certificate})).ok());
  config::BuildOptions options;
  options.revision = 1;
  options.incarnation = "test";
  absl::Status status = InstallSnapshot(config::Build(Config({kept_.certificate}), options).snapshot);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(gateway_->current()->revision, 2u);
}

TEST_F(GatewayTest, AnAddressThatIsTakenIsRefusedWithItsNameAndTheOldSnapshotStays) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  int held = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(::bind(held, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(held, 1), 0);
  ASSERT_EQ(::getsockname(held, reinterpret_cast<sockaddr*>(&at), &size), 0);
  v1::ConfigSet set = Config({kept_.certificate});
  auto* second = set.add_listeners();
  second->set_name("second");
  second->set_address(absl::StrCat("127.0.0.1:", ntohs(at.sin_port)));
  second->add_server_certificates("server");
  absl::Status status = Install(set);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(ViolationOf(status).path, "listeners[\"second\"].address");
  EXPECT_THAT(ViolationOf(status).message, HasSubstr("cannot bind 127.0.0.1:"));
  EXPECT_EQ(Client(Port(), CallerOf(kept_, "CN=alice", 3)).Get("/secure"), 200);
  ::close(held);
}

TEST_F(GatewayTest, UnderLoadWithChangesNobodyTrustedIsRefused) {
  ASSERT_TRUE(Install(Config({kept_.certificate, gone_.certificate})).ok());
  uint16_t port = Port();
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0}, wrong{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 3; ++i) {
    Caller caller = CallerOf(kept_, absl::StrCat("CN=client ", i), 5 + i);
    threads.emplace_back([&, caller] {
      while (!stop) {
        Client client(port, caller);
        for (int k = 0; k < 20 && !stop; ++k) {
          ++answered;
          if (client.Get("/secure") != 200) ++wrong;
        }
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(Install(i % 2 == 0 ? Config({kept_.certificate}) : Config({kept_.certificate, gone_.certificate})).ok());
    EXPECT_EQ(Client(port, CallerOf(gone_, "CN=mallory", 4)).Get("/secure"), i % 2 == 0 ? 401 : 200);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0) << "of " << answered;
  EXPECT_GT(answered, 20);
}

TEST_F(GatewayTest, UnderLoadChangesOfEveryKindGiveNobodyAWrongAnswer) {
  // Everything that is switched, in one configuration.
  struct Switches {
    bool anchor, pin, self_signed_allowed, carol_enabled, carol_first_password;
  };
  const certs::CertificateRef pinned = certs::SelfSigned("CN=pinned", 8);
  const auto hash = [](const char* password) {
    return *credentials::HashPassword(credentials::HashKind::kBcrypt, password, {.bcrypt_cost = 4});
  };
  const std::string first = hash("one"), second = hash("two"), bobs = hash("secret");
  const auto config = [&](const Switches& on) {
    v1::ConfigSet set = Config({kept_.certificate});
    v1::TrustStore& store = *set.mutable_trust_stores(0);
    if (on.anchor) store.add_anchors()->set_pem(gone_.certificate->ToPem());
    if (on.pin) store.add_pins()->set_pem(pinned->ToPem());
    if (!on.self_signed_allowed) {
      set.mutable_schemes(0)->mutable_client_certificate()->set_allowed_certificate_types(
          v1::ClientCertificateScheme::CHAINED);
    }
    v1::User& bob = *set.mutable_user_stores(0)->add_users();
    bob.set_name("bob");
    bob.add_password_hashes(bobs);
    v1::User& carol = *set.mutable_user_stores(0)->add_users();
    carol.set_name("carol");
    carol.set_disabled(!on.carol_enabled);
    carol.add_password_hashes(on.carol_first_password ? first : second);
    return set;
  };
  const std::string bob = "Authorization: Basic Ym9iOnNlY3JldA==\r\n", carol = "Authorization: Basic Y2Fyb2w6b25l\r\n";
  ASSERT_TRUE(Install(config({true, true, true, true, true})).ok());
  const uint16_t port = Port();

  // Trusted throughout, and distrusted throughout, counted where they sit.
  std::atomic<bool> stop{false};
  std::atomic<int> trusted{0}, trusted_wrong{0}, distrusted{0}, distrusted_let_in{0};
  std::vector<std::thread> threads;
  const auto load = [&](Caller caller, std::string path, std::string fields, bool may) {
    threads.emplace_back([=, &stop, &trusted, &trusted_wrong, &distrusted, &distrusted_let_in] {
      while (!stop) {
        Client client(port, caller);
        for (int k = 0; k < 20 && !stop; ++k) {
          const int status = client.Get(path, fields);
          ++(may ? trusted : distrusted);
          if (may && status != 200) ++trusted_wrong;
          if (!may && status == 200) ++distrusted_let_in;
        }
      }
    });
  };
  const certs::Authority never = certs::Root("CN=Never", 7);
  load(CallerOf(kept_, "CN=alice", 3), "/secure", "", true);
  load({}, "/basic", bob, true);
  load(CallerOf(never, "CN=mallory", 4), "/secure", "", false);
  load({}, "/basic", "Authorization: Basic bm9ib2R5OnNlY3JldA==\r\n", false);

  // Those whose trust is switched must see each switch with their next request, on a new connection and on a live one.
  const Caller of_gone = CallerOf(gone_, "CN=switched", 5), of_pin{pinned, certs::KeyAt(8)};
  auto live_gone = std::make_unique<Client>(port, of_gone);
  auto live_pin = std::make_unique<Client>(port, of_pin);
  Client live_carol(port, {});
  for (int i = 0; i < 24; ++i) {
    const Switches on{i % 2 == 0, i % 3 != 0, i % 4 != 3, i % 5 != 4, i % 6 < 3};
    ASSERT_TRUE(Install(config(on)).ok());
    const int gone_is = on.anchor ? 200 : 401;
    const int pin_is = on.pin && on.self_signed_allowed ? 200 : 401;
    const int carol_is = on.carol_enabled && on.carol_first_password ? 200 : 401;
    EXPECT_EQ(Client(port, of_gone).Get("/secure"), gone_is) << i;
    EXPECT_EQ(Client(port, of_pin).Get("/secure"), pin_is) << i;
    for (auto& [live, caller, is] : {std::tuple(&live_gone, &of_gone, gone_is), std::tuple(&live_pin, &of_pin, pin_is)}) {
      const int status = (*live)->Get("/secure");
      if (status == 0) {  // ended by the sweep, which is right only if it is withdrawn, or was by the change before
        *live = std::make_unique<Client>(port, *caller);
        EXPECT_EQ((*live)->Get("/secure"), is) << i;
      } else {
        EXPECT_EQ(status, is) << i;
      }
    }
    if (carol_is == 200) {
      EXPECT_EQ(live_carol.Get("/basic", carol), 200) << i;
    } else {
      EXPECT_THAT(live_carol.Get("/basic", carol), ::testing::AnyOf(401, 429)) << i;
    }
    clock_.Advance(absl::Minutes(20));  // failures of hers are forgotten, so that no throttle speaks for the store
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(trusted_wrong, 0) << "of " << trusted;
  EXPECT_EQ(distrusted_let_in, 0) << "of " << distrusted;
  EXPECT_GT(trusted, 100);
  EXPECT_GT(distrusted, 20);
}

TEST_F(GatewayTest, DrainLetsAnIdleConnectionGoAndRefusesNewOnes) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  uint16_t port = Port();
  Client client(port, CallerOf(kept_, "CN=alice", 3));
  ASSERT_EQ(client.Get("/secure"), 200);
  EXPECT_TRUE(gateway_->Drain(absl::Seconds(5)));
  EXPECT_EQ(client.Get("/secure"), 0);
  EXPECT_FALSE(Client(port, {}).open());
}

TEST_F(GatewayTest, ARefusalThatNamesNoFieldIsTheGateways) {
  EXPECT_EQ(ViolationOf(absl::CancelledError("no: it stops")), (config::Violation{"gateway", "no: it stops"}));
  EXPECT_EQ(ViolationOf(absl::CancelledError("")), (config::Violation{"gateway", "CANCELLED"}));
}

TEST_F(GatewayTest, IsReadyWhileASnapshotIsInForceAndItDoesNotDrain) {
  EXPECT_EQ(gateway_->NotReady(), "no configuration is in force");
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  EXPECT_EQ(gateway_->NotReady(), "");
  EXPECT_TRUE(gateway_->Drain(absl::Seconds(5)));
  EXPECT_EQ(gateway_->NotReady(), "draining");
}

TEST_F(GatewayTest, MetricsCountWhatHappened) {
  ASSERT_TRUE(Install(Config({kept_.certificate})).ok());
  Client(Port(), CallerOf(kept_, "CN=alice", 3)).Get("/secure");
  Client(Port(), {}).Get("/secure");
  std::string text = gateway_->MetricsText();
  EXPECT_THAT(text, HasSubstr("NO_CERTIFICATE"));
  EXPECT_THAT(text, HasSubstr("gatehouse_"));
}

}  // namespace
}  // namespace gatehouse::server
