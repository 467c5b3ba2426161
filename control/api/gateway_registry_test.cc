#include "control/api/gateway_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "control/api/gateway_service.h"
#include "gateway/certs/mint.h"
#include "gateway/certs/signing_request.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class GatewayRegistryTest : public ::testing::Test {
 protected:
  GatewayRegistryTest() {
    char name[] = "/tmp/gatehouse-registry-XXXXXX";
    folder_ = mkdtemp(name);
    Reopen();
  }
  ~GatewayRegistryTest() override { std::filesystem::remove_all(folder_); }
  void Reopen() {
    auto registry = GatewayRegistry::Open(folder_, Secret(std::string(32, 'k')), clock_);
    ASSERT_TRUE(registry.ok()) << registry.status();
    registry_ = *std::move(registry);
  }

  std::string Token(const std::string& gateway = "", int64_t seconds = 3600) {
    v1::CreateJoinTokenRequest request;
    request.set_gateway(gateway);
    request.mutable_lifetime()->set_seconds(seconds);
    auto made = registry_->CreateToken(request, Sha256("anchor"), "uid:0");
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->token() : "";
  }
  static std::string SigningRequest(certs::KeyType type = certs::KeyType::kP256) {
    UniqueKey key = *certs::MintKey(type);
    return *certs::MintSigningRequest(key.get());
  }
  absl::StatusOr<v1::JoinResponse> Join(const std::string& token, const std::string& gateway, bool taken = false) {
    v1::JoinRequest request;
    request.set_token(token);
    request.set_gateway(gateway);
    request.set_signing_request(SigningRequest());
    auto joined = registry_->Join(request, [taken](const std::string&) { return taken; }, &why_);
    if (!joined.ok()) return joined.status();
    anew_ = joined->anew;
    return joined->response;
  }
  absl::StatusCode JoinCode(const std::string& token, const std::string& gateway) { return Join(token, gateway).status().code(); }

  std::string folder_;
  FakeClock clock_{absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()))};
  std::unique_ptr<GatewayRegistry> registry_;
  bool anew_ = false;
  std::string why_;
};

TEST_F(GatewayRegistryTest, ATokenBuysOneCertificateThatNamesTheGateway) {
  const std::string token = Token();
  const auto joined = Join(token, "edge-1");
  ASSERT_TRUE(joined.ok()) << joined.status();
  const auto chain = *certs::Certificate::ListFromPem(joined->certificate_chain());
  ASSERT_THAT(chain, SizeIs(2));
  EXPECT_THAT(chain[0]->sans(), ElementsAre(certs::San{certs::SanKind::kUri, "spiffe://gatehouse/gateway/edge-1"}));
  EXPECT_EQ(chain[0]->not_after(), clock_.Now() + absl::Hours(24 * 30));
  EXPECT_EQ(chain[1]->ToPem(), registry_->authority());
  EXPECT_TRUE(registry_->Check("edge-1", joined->certificate_chain()).ok());
  EXPECT_FALSE(registry_->Check("edge-2", joined->certificate_chain()).ok());
  EXPECT_EQ(JoinCode(token, "edge-2"), absl::StatusCode::kPermissionDenied) << "used";
}

TEST_F(GatewayRegistryTest, EveryFaultOfATokenIsToldAlike) {
  const std::string bound = Token("edge-1"), late = Token("", 60), deleted = Token(), any = Token();
  ASSERT_TRUE(registry_->DeleteToken(JoinToken::Parse(deleted)->id).ok());
  ASSERT_TRUE(Join(any, "edge-9").ok());
  std::string wrong = Token();
  wrong[20] = wrong[20] == 'a' ? 'b' : 'a';
  const std::string taken = Token(), fresh = Token();
  clock_.Advance(absl::Seconds(61));
  const absl::Status known = Join(bound, "edge-2").status();
  EXPECT_EQ(known.code(), absl::StatusCode::kPermissionDenied);
  for (const auto& [token, gateway] : {std::pair{late, "edge-3"}, {deleted, "edge-3"}, {any, "edge-3"}, {wrong, "edge-3"},
                                       {std::string("gh1.nonsense"), "edge-3"}, {std::string(), "edge-3"}, {fresh, "edge-9"}}) {
    EXPECT_EQ(Join(token, gateway).status(), known);
  }
  EXPECT_EQ(Join(taken, "embedded", /*taken=*/true).status(), known);
  EXPECT_TRUE(Join(bound, "edge-1").ok()) << "refusals use nothing up";
}

TEST_F(GatewayRegistryTest, AClockThatIsSetBackMakesNoTokenGoodAgain) {
  const std::string used = Token(), late = Token("", 60);
  ASSERT_TRUE(Join(used, "edge-1").ok());
  clock_.Advance(absl::Seconds(61));
  EXPECT_FALSE(Join(late, "edge-2").ok());
  clock_.Advance(-absl::Hours(2));
  EXPECT_FALSE(Join(used, "edge-2").ok());
  EXPECT_TRUE(Join(Token(), "edge-2").ok()) << "and new ones are good";
}

TEST_F(GatewayRegistryTest, TheAuditIsToldWhichFaultItWas) {
  const auto why = [this](const std::string& token, const std::string& gateway) {
    why_.clear();
    EXPECT_FALSE(Join(token, gateway).ok());
    return why_;
  };
  const auto id = [](const std::string& token) { return absl::StrCat("join token ", JoinToken::Parse(token)->id); };
  const std::string bound = Token("edge-1"), late = Token("", 60), used = Token(), any = Token();
  ASSERT_TRUE(Join(used, "edge-9").ok());
  std::string wrong = any;
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  clock_.Advance(absl::Seconds(61));
  EXPECT_EQ(why(used, "edge-2"), id(used) + " was used, deleted or never made, or has expired");
  EXPECT_EQ(why(late, "edge-2"), id(late) + " has expired");
  EXPECT_EQ(why(bound, "edge-2"), id(bound) + " is for edge-1");
  EXPECT_EQ(why(any, "edge-9"), id(any) + " is for a new name, and there is a gateway of this one");
  EXPECT_EQ(why("nonsense", "edge-2"), "what was given is no join token");
}

TEST_F(GatewayRegistryTest, OfManyWhoUseOneTokenAtOnceOneGetsIn) {
  const std::string token = Token();
  std::atomic<int> joined = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] { joined += Join(token, "edge-" + std::to_string(i)).ok(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(joined, 1);
}

TEST_F(GatewayRegistryTest, EverythingIsThereAfterARestartAndNothingOfItToRead) {
  const std::string token = Token("edge-2");
  const std::string used = Token();
  const auto joined = Join(used, "edge-1");
  const std::string authority = registry_->authority();
  Reopen();
  EXPECT_EQ(registry_->authority(), authority);
  EXPECT_TRUE(registry_->Check("edge-1", joined->certificate_chain()).ok());
  EXPECT_EQ(JoinCode(used, "edge-3"), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(Join(token, "edge-2").ok());
  std::ostringstream content;
  content << std::ifstream(folder_ + "/gateways.sealed", std::ios::binary).rdbuf();
  EXPECT_EQ(content.str().find("edge-"), std::string::npos);
  EXPECT_EQ(content.str().find("PRIVATE"), std::string::npos);
  struct stat info;
  ASSERT_EQ(stat((folder_ + "/gateways.sealed").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
}

TEST_F(GatewayRegistryTest, AfterARenewalBothCertificatesAreGoodAndAfterARemovalNone) {
  const auto first = Join(Token(), "edge-1");
  const auto second = registry_->Renew("edge-1", first->certificate_chain(), SigningRequest());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(registry_->Check("edge-1", first->certificate_chain()).ok());
  EXPECT_TRUE(registry_->Check("edge-1", second->certificate_chain()).ok());
  const std::string waiting = Token("edge-1");
  ASSERT_TRUE(registry_->Remove("edge-1").ok());
  EXPECT_FALSE(registry_->Check("edge-1", first->certificate_chain()).ok());
  EXPECT_FALSE(registry_->Check("edge-1", second->certificate_chain()).ok());
  EXPECT_EQ(JoinCode(waiting, "edge-1"), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(registry_->Renew("edge-1", second->certificate_chain(), SigningRequest()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(registry_->Renew("", second->certificate_chain(), SigningRequest()).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(registry_->Remove("edge-1").code(), absl::StatusCode::kNotFound);
}

TEST_F(GatewayRegistryTest, WhoIsRefusedIsToldWhyAndHowToComeBack) {
  const auto why = [this](const std::string& gateway, const absl::StatusOr<v1::JoinResponse>& shown) {
    const absl::Status refused = registry_->Check(gateway, shown->certificate_chain());
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(refused.message()),
                HasSubstr(absl::StrCat("(gatehousectl gateway token create --gateway ", gateway, "), delete gateway.pem in its state "
                                       "directory and start it with --join")));
    return std::string(refused.message());
  };
  const auto first = Join(Token(), "edge-1");
  const std::string sealed = folder_ + "/gateways.sealed", backup = folder_ + "/backup";
  std::filesystem::copy_file(sealed, backup);
  clock_.Advance(absl::Hours(24 * 20));
  const auto renewed = registry_->Renew("edge-1", first->certificate_chain(), SigningRequest());
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  const auto late = Join(Token(), "edge-2");
  const auto anew = Join(Token("edge-1"), "edge-1");
  EXPECT_THAT(why("edge-1", first), HasSubstr("gateway edge-1: its certificate was replaced"));
  EXPECT_THAT(why("edge-1", renewed), HasSubstr("gateway edge-1: its certificate was replaced"));
  ASSERT_TRUE(registry_->Remove("edge-2").ok());
  EXPECT_THAT(why("edge-2", late), HasSubstr("gateway edge-2: it was removed, or joined after the backup"));

  std::filesystem::copy_file(backup, sealed, std::filesystem::copy_options::overwrite_existing);
  Reopen();
  EXPECT_TRUE(registry_->Check("edge-1", first->certificate_chain()).ok());
  EXPECT_THAT(why("edge-1", renewed), HasSubstr("its certificate was issued after the backup that the control plane was restored from"));
  EXPECT_THAT(why("edge-2", late), HasSubstr("it was removed, or joined after the backup that the control plane was restored from"));
  ASSERT_TRUE(Join(Token("edge-1"), "edge-1").ok()) << "as it says";
}

TEST_F(GatewayRegistryTest, AGatewayThatCannotStoreWhatItGetsRenewsForEverWithWhatItHas) {
  const std::string first = Join(Token(), "edge-1")->certificate_chain();
  std::string latest;
  for (int minute = 0; minute < 10; ++minute) {
    const auto renewed = registry_->Renew("edge-1", first, SigningRequest());
    ASSERT_TRUE(renewed.ok()) << minute << renewed.status();
    latest = renewed->certificate_chain();
    EXPECT_TRUE(registry_->Check("edge-1", first).ok()) << minute;
    EXPECT_TRUE(registry_->Check("edge-1", latest).ok()) << minute;
  }
  const auto next = registry_->Renew("edge-1", latest, SigningRequest());
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(registry_->Check("edge-1", latest).ok());
  EXPECT_TRUE(registry_->Check("edge-1", next->certificate_chain()).ok());
}

TEST_F(GatewayRegistryTest, WhoWasRemovedAndJoinedAgainRenewsNothingWithTheOldCertificate) {
  const std::string first = Join(Token(), "edge-1")->certificate_chain();
  ASSERT_TRUE(registry_->Remove("edge-1").ok());
  ASSERT_TRUE(Join(Token(), "edge-1").ok());
  EXPECT_EQ(registry_->Renew("edge-1", first, SigningRequest()).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(GatewayRegistryTest, ATokenOfItsNameMakesAGatewayAnew) {
  const auto first = Join(Token(), "edge-1");
  EXPECT_FALSE(anew_);
  const auto again = Join(Token("edge-1"), "edge-1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(anew_);
  EXPECT_FALSE(registry_->Check("edge-1", first->certificate_chain()).ok());
  EXPECT_TRUE(registry_->Check("edge-1", again->certificate_chain()).ok());
}

TEST_F(GatewayRegistryTest, ASigningRequestMustBeOneOfAStrongKey) {
  const std::string token = Token();
  v1::JoinRequest request;
  request.set_token(token);
  request.set_gateway("edge-1");
  const auto join = [&](std::string der) {
    request.set_signing_request(std::move(der));
    return registry_->Join(request, [](const std::string&) { return false; }, &why_).status().code();
  };
  const std::string good = SigningRequest();
  EXPECT_EQ(join(""), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(join(good + "x"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(join(std::string(20'000, 'x')), absl::StatusCode::kInvalidArgument);
  std::string forged = good;
  forged.back() = static_cast<char>(forged.back() ^ 1);
  EXPECT_EQ(join(forged), absl::StatusCode::kInvalidArgument);
  request.set_gateway("../edge");
  EXPECT_EQ(join(good), absl::StatusCode::kInvalidArgument);
  request.set_gateway("edge-1");
  EXPECT_EQ(join(SigningRequest(certs::KeyType::kEd25519)), absl::StatusCode::kOk);
}

TEST_F(GatewayRegistryTest, ListsTokensThatCanStillBeUsedInOrderOfTheirEnd) {
  Token("b", 300);
  Token("a", 600);
  Token("gone", 60);
  clock_.Advance(absl::Seconds(60));
  const auto list = registry_->Tokens();
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list[0].gateway(), "b");
  EXPECT_EQ(list[1].gateway(), "a");
  EXPECT_EQ(list[0].created_by(), "uid:0");
  EXPECT_EQ(registry_->DeleteToken("nothing").code(), absl::StatusCode::kNotFound);
  v1::CreateJoinTokenRequest request;
  request.mutable_lifetime()->set_seconds(8 * 86400);
  EXPECT_EQ(registry_->CreateToken(request, {}, "").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(AttemptsTest, AreBoundedForOneAddressAndForAll) {
  Attempts attempts;
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  for (int i = 0; i < Attempts::kOfOne; ++i) EXPECT_TRUE(attempts.Take("a", now));
  EXPECT_FALSE(attempts.Take("a", now));
  EXPECT_TRUE(attempts.Take("b", now));
  EXPECT_TRUE(attempts.Take("a", now + absl::Minutes(1)));
  int taken = 0;
  for (int i = 0; i < 1000; ++i) taken += attempts.Take(std::to_string(i), now + absl::Minutes(1));
  EXPECT_EQ(taken, Attempts::kOfAll - 1);
}

TEST(AttemptsTest, WhoTriesWithoutEndLocksNobodyElseOut) {
  Attempts attempts;
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  for (int i = 0; i < 100 * Attempts::kOfAll; ++i) attempts.Take("a", now);
  EXPECT_TRUE(attempts.Take("b", now));
}

}  // namespace
}  // namespace gatehouse::api
