// The control API's server with its services, over a store in memory; and certificates for its callers. For tests.
#pragma once

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <grpc/grpc.h>
#include <grpcpp/generic/generic_stub.h>

#include "control/api/access_service.h"
#include "control/api/certificate_service.h"
#include "control/api/config_service.h"
#include "control/api/event_service.h"
#include "control/api/gateway_registry.h"
#include "control/api/gateway_service.h"
#include "control/api/lockout_service.h"
#include "control/api/policy_service.h"
#include "control/api/server.h"
#include "control/api/snapshot_service.h"
#include "control/api/status_service.h"
#include "control/api/upstream_service.h"
#include "control/api/user_service.h"
#include "control/store/memory_store.h"
#include "control/store/store_fixture.h"
#include "gateway/certs/mint.h"
#include "gtest/gtest.h"

namespace gatehouse::api {

class ServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    grpc_init();
    pki_ = new Pki();
  }
  void SetUp() override { ASSERT_TRUE(changes_.Start().ok()); }
  void TearDown() override {
    if (server_ != nullptr) server_->Shutdown(absl::Seconds(1));
    if (callers_ != nullptr) callers_->SetRefused(nullptr);
  }
  // The store whose key AccessService changes.
  virtual store::Store& SealedStore() { return store_; }
  // What the ledger told since it was asked last, once there is something.
  std::vector<v1::Event> AwaitTold() {
    MutexLock lock(&told_mutex_);
    while (told_.empty()) told_changed_.Wait(&told_mutex_);
    return std::exchange(told_, {});
  }

  // `known` is what the guard knows; `open` what is listened on.
  absl::Status Start(const ControlServerOptions& known, const ControlServerOptions& open) {
    auto access = ControlServer::Prepare(known);
    if (!access.ok()) return access.status();
    const Guard guard = access->guard;
    callers_ = access->callers;
    callers_->SetRefused([this](const Caller& who, absl::string_view method, const absl::Status& why) { ledger_.Refused(who, method, why); });
    config_ = std::make_unique<ConfigService>(changes_, executor_, guard, ledger_);
    users_ = std::make_unique<UserService>(changes_, renewals_, executor_, guard, ledger_, clock_);
    events_ = std::make_unique<EventService>(hub_, executor_, guard);
    snapshots_ = std::make_unique<SnapshotService>(distributor_, desk_, ring_, guard);
    certificates_ = std::make_unique<CertificateService>(desk_, hub_, executor_, guard);
    policies_ = std::make_unique<PolicyService>(changes_, executor_, clock_, guard);
    lockouts_ = std::make_unique<LockoutService>(desk_, executor_, guard, ledger_);
    access_ = std::make_unique<AccessService>(SealedStore(), executor_, guard, ledger_);
    upstreams_ = std::make_unique<UpstreamService>(desk_, "embedded", guard);
    auto registry = GatewayRegistry::Open(folder_ / "", *store_.KeyFor("gateways"), clock_);
    if (!registry.ok()) return registry.status();
    registry_ = *std::move(registry);
    gateways_ = std::make_unique<GatewayService>(
        *registry_, distributor_, executor_, clock_, guard, ledger_,
        GatewayService::Options{[]() -> absl::StatusOr<Sha256Digest> { return Sha256("anchor"); }, [] {}});
    status_ = std::make_unique<StatusService>(StatusService::Facts{"1", "s", clock_.Now()}, distributor_, hub_, alarms_, guard);
    auto server = ControlServer::Start(open, *std::move(access),
                                       {config_.get(), users_.get(), events_.get(), snapshots_.get(), certificates_.get(),
                                        policies_.get(), lockouts_.get(), upstreams_.get(), status_.get(), access_.get(),
                                        gateways_.get()});
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }
  absl::Status Start(const ControlServerOptions& options) { return Start(options, options); }

  // Calls a method with an empty request and takes the first answer.
  grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                    std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    grpc::CompletionQueue queue;
    grpc::Slice nothing;
    grpc::ByteBuffer request(&nothing, 1), response;
    auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
    grpc::Status status;
    call->StartCall();
    call->Finish(&response, &status, &queue);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return status;
  }
  std::shared_ptr<grpc::Channel> Plain(const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }

  struct Pki {
    UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
    UniqueKey ca_key = *certs::MintKey(certs::KeyType::kP256), other_key = *certs::MintKey(certs::KeyType::kP256);
    certs::CertificateRef ca = Mint(certs::Profile::kCa, "CN=CA", {}, ca_key.get(), std::nullopt);
    certs::CertificateRef other = Mint(certs::Profile::kCa, "CN=CA", {}, other_key.get(), std::nullopt);
    std::string key_pem = std::string(certs::KeyToPem(key.get())->Reveal());

    static certs::CertificateRef Mint(certs::Profile profile, const std::string& subject, std::vector<certs::San> sans,
                                      EVP_PKEY* key, std::optional<certs::Signer> signer) {
      certs::MintRequest request;
      request.profile = profile;
      request.subject = subject;
      request.sans = std::move(sans);
      request.server_use = true;
      request.not_before = absl::Now() - absl::Hours(1);
      request.not_after = absl::Now() + absl::Hours(24);
      return *certs::Mint(request, key, signer);
    }
    std::string Leaf(std::vector<certs::San> sans, bool trusted = true) {
      const certs::Signer signer{trusted ? ca.get() : other.get(), trusted ? ca_key.get() : other_key.get()};
      return Mint(certs::Profile::kLeaf, "CN=leaf", std::move(sans), key.get(), signer)->ToPem();
    }
  };
  ControlServerOptions Tls(const std::vector<AllowedName>& names) {
    ControlServerOptions options;
    options.listen = "127.0.0.1:0";
    options.tls.certificate = Put("cert.pem", pki_->Leaf({{certs::SanKind::kIp, "127.0.0.1"}}));
    options.tls.key = Put("key.pem", pki_->key_pem);
    options.tls.client_ca = Put("ca.pem", pki_->ca->ToPem());
    options.allowed_names = names;
    return options;
  }
  std::shared_ptr<grpc::Channel> Mutual(const std::string& certificate) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = pki_->ca->ToPem();
    if (!certificate.empty()) {
      options.pem_cert_chain = certificate;
      options.pem_private_key = pki_->key_pem;
    }
    grpc::ChannelArguments arguments;  // no connection of an earlier channel is used again
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(server_->addresses()[0], grpc::SslCredentials(options), arguments);
  }
  std::string Put(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  ControlServerOptions Socket() {
    ControlServerOptions options;
    options.socket = folder_ / "run/control.sock";
    return options;
  }

  static inline Pki* pki_ = nullptr;
  store::TemporaryFolder folder_;
  FakeClock clock_;
  store::MemoryStore store_;
  publish::Alarms alarms_;
  hub::Hub hub_{clock_};
  publish::Distributor distributor_{"store", clock_, alarms_, [](const v1::Event&) {}};
  publish::QuestionDesk desk_{alarms_};
  publish::TicketKeyRing ring_{absl::Hours(1), clock_, alarms_};
  PublishTo<publish::Distributor> publisher_{distributor_};
  Changes changes_{store_, [](const config::ResourceMap&, uint64_t) { return validate::Findings(); }, publisher_, clock_};
  CallExecutor executor_{3, 64};
  Mutex told_mutex_;
  CondVar told_changed_;
  std::vector<v1::Event> told_ ABSL_GUARDED_BY(told_mutex_);
  Ledger ledger_{store_, clock_, [this](v1::Event event) {
                   MutexLock lock(&told_mutex_);
                   told_.push_back(std::move(event));
                   told_changed_.SignalAll();
                 }};
  HashRenewals renewals_{changes_, ledger_, HashRenewals::Options{.gather = absl::ZeroDuration()}};
  std::unique_ptr<ConfigService> config_;
  std::unique_ptr<UserService> users_;
  std::unique_ptr<EventService> events_;
  std::unique_ptr<SnapshotService> snapshots_;
  std::unique_ptr<CertificateService> certificates_;
  std::unique_ptr<PolicyService> policies_;
  std::unique_ptr<LockoutService> lockouts_;
  std::unique_ptr<UpstreamService> upstreams_;
  std::unique_ptr<GatewayRegistry> registry_;
  std::unique_ptr<GatewayService> gateways_;
  std::unique_ptr<StatusService> status_;
  std::unique_ptr<AccessService> access_;
  std::shared_ptr<Callers> callers_;
  std::unique_ptr<ControlServer> server_;
};

inline constexpr char kStatus[] = "/gatehouse.v1.StatusService/GetStatus";
inline constexpr char kHealth[] = "/grpc.health.v1.Health/Check";

}  // namespace gatehouse::api
