#include "control/publish/local_gateway.h"

#include <future>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::publish {
namespace {

using ::testing::HasSubstr;

class LocalGatewayTest : public ::testing::Test {
 protected:
  absl::Status Connect(LocalGateway::Take take) {
    auto gateway = LocalGateway::Connect(
        distributor_, desk_, "embedded", "1", std::move(take),
        [](const v1::Question& question) {
          v1::Answer answer;
          if (question.explain().scheme() == "none") {
            answer.set_code(static_cast<int>(absl::StatusCode::kNotFound));
            answer.set_error("no such scheme");
          } else {
            answer.mutable_explain()->mutable_certificate()->set_subject(question.explain().chain_pem());
          }
          return answer;
        },
        [this] { ++confirmed_; });
    if (gateway.ok()) gateway_ = *std::move(gateway);
    return gateway.status();
  }
  void Publish(uint64_t revision) { distributor_.Publish(revision, {}); }
  v1::ForceStatus InForce(uint64_t revision, absl::Duration timeout = absl::Seconds(60)) {
    std::promise<v1::ForceStatus> status;
    distributor_.WaitInForce(revision, timeout, [&](v1::ForceStatus s) { status.set_value(std::move(s)); });
    return status.get_future().get();
  }
  absl::StatusOr<v1::ExplainResponse> Explain(const std::string& pem, const std::string& scheme = "") {
    v1::Question question;
    question.mutable_explain()->set_chain_pem(pem);
    question.mutable_explain()->set_scheme(scheme);
    std::promise<absl::StatusOr<v1::ExplainResponse>> answer;
    desk_.Ask("", std::move(question), absl::Seconds(60), [&](const std::string& from, absl::StatusOr<v1::Answer> a) {
      if (!a.ok()) return answer.set_value(a.status());
      a->mutable_explain()->set_gateway(from);
      answer.set_value(a->explain());
    });
    return answer.get_future().get();
  }

  FakeClock clock_;
  Alarms alarms_;
  Distributor distributor_{"store-1", clock_, alarms_, [](const v1::Event&) {}};
  QuestionDesk desk_{alarms_};
  std::atomic<int> confirmed_ = 0;
  std::unique_ptr<LocalGateway> gateway_;
};

TEST_F(LocalGatewayTest, TakesEachRevisionAndAnswers) {
  std::vector<uint64_t> taken;
  Publish(1);
  ASSERT_TRUE(Connect([&](std::shared_ptr<const Published> to, LocalGateway::Taken done) {
                taken.push_back(to->revision);
                done({});
              }).ok());
  EXPECT_EQ(InForce(1).in_force(), 1u);
  Publish(2);
  EXPECT_EQ(InForce(2).in_force(), 1u);
  gateway_.reset();
  EXPECT_THAT(taken, ::testing::ElementsAre(1, 2));
  EXPECT_FALSE(distributor_.Gateways()[0].connected());
}

TEST_F(LocalGatewayTest, ARefusalIsSeenWithItsViolations) {
  ASSERT_TRUE(Connect([](std::shared_ptr<const Published>, LocalGateway::Taken done) {
                v1::Violation violation;
                violation.set_path("listeners[\"web\"]");
                violation.set_message("port 1 is in use");
                done({violation});
              }).ok());
  Publish(1);
  EXPECT_THAT(InForce(1).lagging(0), HasSubstr("port 1 is in use"));
}

TEST_F(LocalGatewayTest, AnAnswerThatComesWhenItIsGoneIsIgnored) {
  std::promise<LocalGateway::Taken> held;
  ASSERT_TRUE(Connect([&](std::shared_ptr<const Published>, LocalGateway::Taken done) {
                held.set_value(std::move(done));
              }).ok());
  Publish(1);
  LocalGateway::Taken done = held.get_future().get();
  gateway_.reset();
  done({});
  EXPECT_EQ(distributor_.Gateways()[0].acknowledged_revision(), 0u);
}

TEST_F(LocalGatewayTest, NobodyElseMayTakeItsName) {
  ASSERT_TRUE(Connect([](std::shared_ptr<const Published>, LocalGateway::Taken done) { done({}); }).ok());
  EXPECT_EQ(Connect([](std::shared_ptr<const Published>, const LocalGateway::Taken&) {}).code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(LocalGatewayTest, Explains) {
  ASSERT_TRUE(Connect([](std::shared_ptr<const Published>, const LocalGateway::Taken&) {}).ok());
  absl::StatusOr<v1::ExplainResponse> answer = Explain("pem");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->certificate().subject(), "pem");
  EXPECT_EQ(answer->gateway(), "embedded");
  EXPECT_EQ(Explain("pem", "none").status(), absl::NotFoundError("no such scheme"));
}

}  // namespace
}  // namespace gatehouse::publish
