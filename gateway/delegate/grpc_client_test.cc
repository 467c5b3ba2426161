// The client against real gRPC servers on loopback.
#include "gateway/delegate/grpc_client.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gatehouse/v1/credential_validator.grpc.pb.h"
#include "gateway/certs/mint.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::delegate {
namespace {

// What a user would write, with the answer of the test.
class Validator final : public v1::CredentialValidator::Service {
 public:
  using Handler = std::function<grpc::Status(grpc::ServerContext&, const v1::ValidateCredentialsRequest&,
                                             v1::ValidateCredentialsResponse*)>;
  grpc::Status Validate(grpc::ServerContext* context, const v1::ValidateCredentialsRequest* request,
                        v1::ValidateCredentialsResponse* response) override {
    seen = *request;
    return handler(*context, *request, response);
  }
  Handler handler = [](auto&, const auto&, v1::ValidateCredentialsResponse* response) {
    response->set_verdict(v1::ValidateCredentialsResponse::ALLOW);
    return grpc::Status::OK;
  };
  v1::ValidateCredentialsRequest seen;
};

class GrpcClientTest : public ::testing::Test {
 protected:
  void Serve(std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials(), int port = 0) {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), std::move(credentials), &port_);
    builder.RegisterService(&validator_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    service_.scheme = "Own";
    service_.plaintext = true;
    endpoint_ = absl::StrCat("127.0.0.1:", port_);
  }
  void Stop() {
    server_->Shutdown();
    server_.reset();
  }
  static Question Ann() {
    Question question;
    question.scheme = "Own";
    question.user = "ann";
    question.password = Secret(absl::string_view("hunter2"));
    question.route = "orders";
    question.request_id = "id-1";
    question.certificate_sha256 = "ab";
    return question;
  }
  absl::StatusOr<Reply> Ask(absl::Duration deadline = absl::Seconds(10)) {
    if (client_ == nullptr) client_ = clients_.Make(service_, endpoint_);
    absl::Notification answered;
    absl::StatusOr<Reply> out = absl::UnknownError("not answered");
    client_->Ask(Ann(), deadline, [&](absl::StatusOr<Reply> reply) {
      out = std::move(reply);
      answered.Notify();
    });
    answered.WaitForNotification();
    return out;
  }

  Validator validator_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::string endpoint_;
  Service service_;
  GrpcClients clients_;
  std::shared_ptr<Client> client_;
};

TEST_F(GrpcClientTest, CarriesQuestionAndAnswer) {
  validator_.handler = [](auto&, const auto&, v1::ValidateCredentialsResponse* response) {
    response->set_verdict(v1::ValidateCredentialsResponse::ALLOW);
    response->set_user("ann");
    v1::ValidatedClaim& claim = *response->add_claims();
    claim.set_type("role");
    claim.set_value("buyer");
    response->mutable_lifetime()->set_seconds(30);
    response->mutable_lifetime()->set_nanos(500'000'000);
    return grpc::Status::OK;
  };
  Serve();
  absl::StatusOr<Reply> reply = Ask();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->verdict, Verdict::kAllow);
  EXPECT_EQ(reply->user, "ann");
  ASSERT_EQ(reply->claims.size(), 1u);
  EXPECT_EQ(reply->claims[0].value, "buyer");
  EXPECT_EQ(reply->lifetime, absl::Milliseconds(30'500));
  EXPECT_EQ(validator_.seen.user(), "ann");
  EXPECT_EQ(validator_.seen.password(), "hunter2");
  EXPECT_EQ(validator_.seen.scheme(), "Own");
  EXPECT_EQ(validator_.seen.request().route(), "orders");
  EXPECT_EQ(validator_.seen.request().request_id(), "id-1");
  EXPECT_EQ(validator_.seen.request().certificate_sha256(), "ab");
}

TEST_F(GrpcClientTest, ReadsEveryVerdictAndTakesOthersForNone) {
  using V1 = v1::ValidateCredentialsResponse;
  const std::pair<int, Verdict> cases[] = {{V1::VERDICT_UNSPECIFIED, Verdict::kNone},
                                           {V1::WRONG_PASSWORD, Verdict::kWrongPassword},
                                           {V1::UNKNOWN_USER, Verdict::kUnknownUser},
                                           {V1::USER_DISABLED, Verdict::kUserDisabled},
                                           {77, Verdict::kNone}};
  Serve();
  for (const auto& [said, read] : cases) {
    validator_.handler = [said = said](auto&, const auto&, V1* response) {
      response->set_verdict(static_cast<V1::Verdict>(said));
      return grpc::Status::OK;
    };
    EXPECT_EQ(Ask()->verdict, read) << said;
  }
}

TEST_F(GrpcClientTest, ALifetimeThatIsNoDurationIsNoAnswer) {
  Serve();
  const std::pair<int64_t, int32_t> bad[] = {{1, -1}, {-1, 1}, {0, 1'000'000'000}, {400'000'000'000, 0}};
  for (const auto& [seconds, nanos] : bad) {
    validator_.handler = [s = seconds, n = nanos](auto&, const auto&, v1::ValidateCredentialsResponse* response) {
      response->set_verdict(v1::ValidateCredentialsResponse::ALLOW);
      response->mutable_lifetime()->set_seconds(s);
      response->mutable_lifetime()->set_nanos(n);
      return grpc::Status::OK;
    };
    EXPECT_EQ(Ask().status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(GrpcClientTest, NothingOfAFailuresTextComesBack) {
  validator_.handler = [](auto&, const v1::ValidateCredentialsRequest& request, auto*) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "cannot bind with " + request.password());
  };
  Serve();
  const absl::Status status = Ask().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), ::testing::Not(::testing::HasSubstr("hunter2")));
}

TEST_F(GrpcClientTest, AnAnswerOfAnySizeIsNotTaken) {
  validator_.handler = [](auto&, const auto&, v1::ValidateCredentialsResponse* response) {
    response->set_verdict(v1::ValidateCredentialsResponse::ALLOW);
    response->add_claims()->set_value(std::string(1 << 20, 'x'));
    return grpc::Status::OK;
  };
  Serve();
  EXPECT_FALSE(Ask().ok());
}

TEST_F(GrpcClientTest, GivesUpAtTheDeadlineAndAsksAgainOverANewConnection) {
  absl::Notification over;
  std::vector<std::string> peers;
  validator_.handler = [&](grpc::ServerContext& context, const auto&, v1::ValidateCredentialsResponse* response) {
    peers.push_back(context.peer());
    if (peers.size() == 2) over.WaitForNotification();
    response->set_verdict(v1::ValidateCredentialsResponse::ALLOW);
    return grpc::Status::OK;
  };
  Serve();
  ASSERT_TRUE(Ask().ok());
  const absl::Time begun = absl::Now();
  EXPECT_EQ(Ask(absl::Milliseconds(500)).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - begun, absl::Seconds(5));
  over.Notify();
  EXPECT_TRUE(Ask().ok());
  Stop();
  ASSERT_EQ(peers.size(), 3u);
  EXPECT_EQ(peers[0], peers[1]);
  EXPECT_NE(peers[1], peers[2]);
}

TEST_F(GrpcClientTest, FindsTheServiceAgainThatWentAndCameBack) {
  Serve();
  ASSERT_TRUE(Ask().ok());
  Stop();
  EXPECT_FALSE(Ask(absl::Milliseconds(300)).ok());
  Serve(grpc::InsecureServerCredentials(), port_);
  EXPECT_TRUE(Ask().ok());
  EXPECT_TRUE(client_->Reachable());
}

TEST_F(GrpcClientTest, KnowsThatNobodyIsThere) {
  Serve();
  Stop();
  client_ = clients_.Make(service_, endpoint_);
  EXPECT_TRUE(client_->Reachable()) << "it was not tried yet";
  EXPECT_FALSE(Ask(absl::Milliseconds(200)).ok());
  client_->Reachable();
  const absl::Time limit = absl::Now() + absl::Seconds(10);
  while (client_->Reachable() && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_FALSE(client_->Reachable());
}

TEST_F(GrpcClientTest, ShutdownEndsWhatIsUnderWay) {
  absl::Notification asked, over;
  validator_.handler = [&](auto&, const auto&, auto*) {
    asked.Notify();
    over.WaitForNotification();
    return grpc::Status::OK;
  };
  Serve();
  client_ = clients_.Make(service_, endpoint_);
  absl::Notification answered;
  client_->Ask(Ann(), absl::Seconds(30), [&](absl::StatusOr<Reply> reply) {
    EXPECT_EQ(reply.status().code(), absl::StatusCode::kCancelled);
    answered.Notify();
  });
  asked.WaitForNotification();
  client_->Shutdown();
  answered.WaitForNotification();
  over.Notify();
  Stop();  // its handler looks at what is ours
}

// A CA with leaves for the service and its clients.
struct Authority {
  UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
  certs::CertificateRef certificate = *certs::Mint(
      {.profile = certs::Profile::kCa, .subject = "CN=CA", .not_before = Begin(), .not_after = End()}, key.get(), std::nullopt);

  static absl::Time Begin() { return absl::Now() - absl::Hours(1); }
  static absl::Time End() { return absl::Now() + absl::Hours(24); }
  struct Pair {
    std::string chain, key;
  };
  Pair Leaf(const std::string& dns) const {
    UniqueKey leaf = *certs::MintKey(certs::KeyType::kP256);
    certs::MintRequest request{.profile = certs::Profile::kLeaf, .subject = "CN=leaf", .not_before = Begin(), .not_after = End()};
    request.sans = {{certs::SanKind::kDns, dns}};
    request.client_use = request.server_use = true;
    auto minted = *certs::Mint(request, leaf.get(), certs::Signer{certificate.get(), key.get()});
    return {minted->ToPem(), std::string(certs::KeyToPem(leaf.get())->Reveal())};
  }
};

class GrpcClientTlsTest : public GrpcClientTest {
 protected:
  void ServeTls() {
    const Authority::Pair own = ca_.Leaf("validator.test");
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = ca_.certificate->ToPem();
    options.pem_key_cert_pairs.push_back({own.key, own.chain});
    Serve(grpc::SslServerCredentials(options));
    service_.plaintext = false;
    service_.ca_pem = ca_.certificate->ToPem();
    service_.server_name = "validator.test";
    Present(ca_.Leaf("gateway.test"));
  }
  void Present(const Authority::Pair& pair) {
    service_.certificate_chain_pem = pair.chain;
    service_.private_key_pem = Secret(absl::string_view(pair.key));
  }

  Authority ca_, other_;
};

TEST_F(GrpcClientTlsTest, BothSidesProveWhoTheyAre) {
  ServeTls();
  absl::StatusOr<Reply> reply = Ask();
  EXPECT_TRUE(reply.ok()) << reply.status();
}

TEST_F(GrpcClientTlsTest, AForeignClientCertificateGetsNoAnswer) {
  ServeTls();
  Present(other_.Leaf("gateway.test"));
  EXPECT_FALSE(Ask(absl::Seconds(1)).ok());
}

TEST_F(GrpcClientTlsTest, NoPasswordGoesToAServiceOfAForeignAuthority) {
  ServeTls();
  service_.ca_pem = other_.certificate->ToPem();
  EXPECT_FALSE(Ask(absl::Seconds(1)).ok());
  EXPECT_EQ(validator_.seen.user(), "");
}

TEST_F(GrpcClientTlsTest, NoPasswordGoesToAServiceOfAnotherName) {
  ServeTls();
  service_.server_name = "other.test";
  EXPECT_FALSE(Ask(absl::Seconds(1)).ok());
  service_.server_name = "";
  client_ = nullptr;
  EXPECT_FALSE(Ask(absl::Seconds(1)).ok()) << "the certificate does not hold the address";
  EXPECT_EQ(validator_.seen.user(), "");
}

}  // namespace
}  // namespace gatehouse::delegate
