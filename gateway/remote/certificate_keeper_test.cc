#include "gateway/remote/certificate_keeper.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/certs/mint.h"
#include "gateway/certs/signing_request.h"
#include "gatehouse/v1/gateway_service.grpc.pb.h"

namespace gatehouse::remote {
namespace {

constexpr absl::Duration kLife = absl::Hours(24 * 30);

// Certifies gateways, or answers something else.
class Authority final : public v1::GatewayService::Service {
 public:
  explicit Authority(const Clock& clock) : clock_(clock) {
    certs::MintRequest request;
    request.profile = certs::Profile::kCa;
    request.subject = "CN=authority";
    request.not_before = clock.Now() - absl::Hours(1);
    request.not_after = clock.Now() + 10 * kLife;
    certificate_ = *certs::Mint(request, key_.get());
  }
  std::string Certify(const std::string& gateway, EVP_PKEY* key) {
    certs::MintRequest request;
    request.profile = certs::Profile::kLeaf;
    request.subject = "CN=gateway";
    request.sans = {{certs::SanKind::kUri, "spiffe://gatehouse/gateway/" + gateway}};
    request.not_before = clock_.Now();
    request.not_after = clock_.Now() + kLife;
    return (*certs::Mint(request, key, certs::Signer{certificate_.get(), key_.get()}))->ToPem() + certificate_->ToPem();
  }
  grpc::Status RenewCertificate(grpc::ServerContext*, const v1::RenewCertificateRequest* request,
                                v1::JoinResponse* response) override {
    MutexLock lock(&mutex_);
    ++calls_;
    changed_.SignalAll();
    if (!name_.empty()) {
      UniqueKey key = *certs::KeyOfSigningRequest(request->signing_request());
      response->set_certificate_chain(Certify(name_, key.get()));
    }
    return grpc::Status::OK;
  }
  void AwaitCalls(int n) {
    MutexLock lock(&mutex_);
    while (calls_ < n) changed_.Wait(&mutex_);
  }
  int calls() {
    MutexLock lock(&mutex_);
    return calls_;
  }
  void Answer(const std::string& name) {
    MutexLock lock(&mutex_);
    name_ = name;
  }

 private:
  const Clock& clock_;
  UniqueKey key_ = *certs::MintKey(certs::KeyType::kP256);
  certs::CertificateRef certificate_;
  Mutex mutex_;
  CondVar changed_;
  std::string name_ ABSL_GUARDED_BY(mutex_) = "edge-1";  // whom it certifies; empty: an empty answer
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

class CertificateKeeperTest : public ::testing::Test {
 protected:
  CertificateKeeperTest() {
    char name[] = "/tmp/gatehouse-keeper-XXXXXX";
    folder_ = mkdtemp(name);
    UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
    std::ofstream(file()) << certs::KeyToPem(key.get())->Reveal() << authority_.Certify("edge-1", key.get());
    enrolment_ = std::make_unique<Enrolment>(*Enrolment::Open(folder_, "edge-1"));
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&authority_);
    server_ = builder.BuildAndStart();
  }
  ~CertificateKeeperTest() override {
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }
  std::unique_ptr<CertificateKeeper> Keep() {
    return std::make_unique<CertificateKeeper>(
        enrolment_.get(), clock_, [this] { return Channel(); },
        [this] {
          MutexLock lock(&mutex_);
          ++renewed_;
          changed_.SignalAll();
        },
        absl::Milliseconds(2));
  }
  std::shared_ptr<grpc::Channel> Channel() const {
    return grpc::CreateChannel(absl::StrCat("127.0.0.1:", port_), grpc::InsecureChannelCredentials());
  }
  void AwaitRenewals(int n) {
    MutexLock lock(&mutex_);
    while (renewed_ < n) changed_.Wait(&mutex_);
  }
  std::string file() const { return folder_ + "/gateway.pem"; }
  std::string Content() const {
    std::ostringstream out;
    out << std::ifstream(file()).rdbuf();
    return out.str();
  }

  FakeClock clock_{absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()))};
  Authority authority_{clock_};
  std::string folder_;
  std::unique_ptr<Enrolment> enrolment_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar changed_;
  int renewed_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST_F(CertificateKeeperTest, RenewsAtTwoThirdsOfTheLifetimeAndKeepsWhatItGot) {
  const std::string first = Content();
  const absl::Time expiry = enrolment_->not_after();
  clock_.Advance(kLife * 2 / 3 - absl::Minutes(1));
  {
    auto keeper = Keep();
    absl::SleepFor(absl::Milliseconds(30));  // some periods, in which nothing may happen
    EXPECT_EQ(authority_.calls(), 0);
    clock_.Advance(absl::Minutes(2));
    AwaitRenewals(1);
  }
  EXPECT_EQ(authority_.calls(), 1);
  EXPECT_NE(Content(), first);
  EXPECT_GT(enrolment_->not_after(), expiry);
  EXPECT_EQ(Enrolment::Open(folder_, "edge-1")->not_after(), enrolment_->not_after());
}

TEST_F(CertificateKeeperTest, WhatCannotBeStoredIsNotAskedForAgainAndStoredOnceThereIsRoom) {
  clock_.Advance(kLife * 3 / 4);
  std::filesystem::create_directories(file() + ".new/x");  // what is written beside cannot be
  EXPECT_EQ(enrolment_->Renew(Channel()).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(enrolment_->Renew(Channel()).code(), absl::StatusCode::kUnavailable);
  std::filesystem::remove_all(file() + ".new");
  const absl::Time expiry = enrolment_->not_after();
  EXPECT_TRUE(enrolment_->Renew(Channel()).ok());
  EXPECT_EQ(authority_.calls(), 1);
  EXPECT_GT(enrolment_->not_after(), expiry);
  EXPECT_EQ(Enrolment::Open(folder_, "edge-1")->not_after(), enrolment_->not_after());
  EXPECT_TRUE(enrolment_->Renew(Channel()).ok());
  EXPECT_EQ(authority_.calls(), 2);
}

TEST_F(CertificateKeeperTest, WhatIsGoodIsNotGivenUpForAnAnswerThatIsNot) {
  const std::string first = Content();
  clock_.Advance(kLife * 3 / 4);
  for (const char* name : {"", "somebody-else"}) {
    authority_.Answer(name);
    const int before = authority_.calls();
    auto keeper = Keep();
    authority_.AwaitCalls(before + 2);  // it tries again
    keeper = nullptr;
    EXPECT_EQ(Content(), first);
  }
  authority_.Answer("edge-1");
  auto keeper = Keep();
  AwaitRenewals(1);
}

}  // namespace
}  // namespace gatehouse::remote
