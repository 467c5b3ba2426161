#include "gateway/server/answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gatehouse::server {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Problem Of(int status) {
  Problem problem;
  problem.status = status;
  problem.request_id = "0123";
  return problem;
}

TEST(ProblemAnswerTest, ChallengesOfTheRouteStandInA401AndNowhereElse) {
  std::vector<std::string> challenges = {"Basic realm=\"a\", charset=\"UTF-8\"", "ClientCertificate realm=\"b\""};
  Problem problem = Of(401);
  problem.challenges = &challenges;
  EXPECT_EQ(ProblemAnswer(problem).head.fields.Count("www-authenticate"), 2u);
  problem.status = 403;
  EXPECT_EQ(ProblemAnswer(problem).head.fields.Count("www-authenticate"), 0u);
}

TEST(ProblemAnswerTest, BodyIsProblemJsonWithConstantTextAndTheRequestId) {
  http::Answer answer = ProblemAnswer(Of(401));
  EXPECT_EQ(answer.head.fields.Find("content-type"), "application/problem+json");
  EXPECT_EQ(answer.head.content_length, answer.body.size());
  Json json = Json::parse(answer.body);
  EXPECT_EQ(json["status"], 401);
  EXPECT_EQ(json["title"], "Unauthorized");
  EXPECT_EQ(json["request_id"], "0123");
}

TEST(ProblemAnswerTest, AnotherVersionOfWebSocketIsToldOurs) {
  EXPECT_FALSE(ProblemAnswer(Of(400)).head.fields.Has("sec-websocket-version"));
  Problem problem = Of(426);
  problem.websocket_version = true;
  const http::Answer answer = ProblemAnswer(problem);
  EXPECT_EQ(answer.head.fields.Find("sec-websocket-version"), "13");
  EXPECT_EQ(Json::parse(answer.body)["title"], "Upgrade Required");
}

TEST(ProblemAnswerTest, RetryAfterIsInWholeSecondsAndNeverZero) {
  Problem problem = Of(429);
  problem.retry_after = absl::Milliseconds(1200);
  EXPECT_EQ(ProblemAnswer(problem).head.fields.Find("retry-after"), "2");
  problem.retry_after = absl::Milliseconds(1);
  EXPECT_EQ(ProblemAnswer(problem).head.fields.Find("retry-after"), "1");
  problem.retry_after = absl::ZeroDuration();
  EXPECT_FALSE(ProblemAnswer(problem).head.fields.Has("retry-after"));
}

TEST(ProblemAnswerTest, GrpcGetsTrailersOnlyWithTheMappedStatus) {
  Problem problem = Of(403);
  problem.grpc = true;
  problem.message = "100% M\xc3\xbcller";
  http::Answer answer = ProblemAnswer(problem);
  EXPECT_EQ(answer.head.status, 200);
  EXPECT_EQ(answer.head.fields.Find("grpc-status"), "7");
  EXPECT_EQ(answer.head.fields.Find("grpc-message"), "100%25 M%c3%bcller");
  EXPECT_TRUE(answer.body.empty());
  problem.status = 401;
  EXPECT_EQ(ProblemAnswer(problem).head.fields.Find("grpc-status"), "16");
}

TEST(ProblemAnswerTest, GrpcIsToldByItsContentType) {
  for (auto [type, grpc] : {std::pair{"application/grpc", true}, {"Application/GRPC+proto", true},
                            {"application/grpc-web", false}, {"application/json", false}}) {
    http::RequestHead head;
    head.fields().Add("content-type", type);
    EXPECT_EQ(IsGrpc(head), grpc) << type;
  }
}

TEST(IdentityAnswerTest, AnonymousCallersAreNotGivenAnIdentity) {
  Json json = Json::parse(IdentityAnswer(identity::Identity({}), ""));
  EXPECT_EQ(json, Json({{"message", "Hello"}}));
}

TEST(IdentityAnswerTest, TellsPrincipalSchemeAndClaims) {
  identity::Part part;
  part.scheme = "Basic";
  part.principal = "alice";
  part.claims = {{"name", "alice", "staff", "Basic"}};
  Json json = Json::parse(IdentityAnswer(*identity::Identity::Of(part), ""));
  EXPECT_EQ(json["message"], "Hello, alice");
  EXPECT_EQ(json["subject"], "alice");
  EXPECT_EQ(json["scheme"], "Basic");
  EXPECT_EQ(json["claims"][0]["issuer"], "staff");
  EXPECT_FALSE(json.contains("thumbprint"));
}

TEST(IdentityAnswerTest, TextThatIsNotUtf8DoesNotBreakTheJson) {
  identity::Part part;
  part.scheme = "Basic";
  part.principal = "a\xff";
  EXPECT_TRUE(Json::accept(IdentityAnswer(*identity::Identity::Of(part), "")));
}

}  // namespace
}  // namespace gatehouse::server
