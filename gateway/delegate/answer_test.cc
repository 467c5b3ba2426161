#include "gateway/delegate/answer.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::delegate {
namespace {

using ::testing::HasSubstr;

Reply Allow(std::vector<credentials::UserClaim> claims = {}) {
  Reply reply;
  reply.verdict = Verdict::kAllow;
  reply.claims = std::move(claims);
  reply.lifetime = absl::Seconds(30);
  return reply;
}

std::string WhyNot(const Reply& reply) {
  absl::StatusOr<Believed> read = Read(reply, "ann");
  return read.ok() ? "believed" : std::string(read.status().message());
}

TEST(AnswerTest, AnAllowGivesTheUserWhoWasAskedAbout) {
  Reply reply = Allow({{"role", "buyer"}, {"role", "clerk"}});
  absl::StatusOr<Believed> read = Read(reply, "ann");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->user->name, "ann");
  EXPECT_EQ(read->user->claims.size(), 2u);
  EXPECT_EQ(read->lifetime, absl::Seconds(30));
  reply.user = "ann";
  EXPECT_TRUE(Read(reply, "ann").ok());
}

TEST(AnswerTest, RefusalsKeepTheirReasonsAndGiveNobody) {
  const std::pair<Verdict, Reason> cases[] = {{Verdict::kWrongPassword, Reason::kWrongPassword},
                                              {Verdict::kUnknownUser, Reason::kUnknownUser},
                                              {Verdict::kUserDisabled, Reason::kUserDisabled}};
  for (const auto& [verdict, reason] : cases) {
    Reply reply = Allow({{"thumbprint", "not looked at"}});
    reply.verdict = verdict;
    absl::StatusOr<Believed> read = Read(reply, "ann");
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->user, nullptr);
    EXPECT_EQ(read->reason, reason);
  }
}

TEST(AnswerTest, NoVerdictIsNoAnswer) { EXPECT_EQ(WhyNot(Reply()), "the answer has no verdict"); }

TEST(AnswerTest, AnotherUserIsNoAnswerInWhateverSpelling) {
  for (const char* other : {"bob", "Ann", "ann ", "ann\xCC\x81"}) {
    Reply reply = Allow();
    reply.user = other;
    EXPECT_EQ(WhyNot(reply), "the answer names another user than was asked about") << other;
  }
}

TEST(AnswerTest, ANegativeLifetimeIsNoAnswer) {
  Reply reply = Allow();
  reply.lifetime = -absl::Nanoseconds(1);
  EXPECT_THAT(WhyNot(reply), HasSubstr("lifetime"));
}

TEST(AnswerTest, ReservedClaimsMakeTheWholeAnswerNone) {
  for (const char* type : {"thumbprint", "Issuer", "SERIALNUMBER", "dns", "upn", "name", "nameidentifier",
                           "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"}) {
    EXPECT_THAT(WhyNot(Allow({{"role", "buyer"}, {type, "forged"}})), HasSubstr("claims[1].type is reserved")) << type;
  }
}

TEST(AnswerTest, MalformedOrOversizedClaimsMakeTheWholeAnswerNone) {
  EXPECT_THAT(WhyNot(Allow({{"", "x"}})), HasSubstr("claims[0].type is empty"));
  EXPECT_THAT(WhyNot(Allow({{std::string(257, 't'), "x"}})), HasSubstr("type has more than 256"));
  EXPECT_THAT(WhyNot(Allow({{"a\nb", "x"}})), HasSubstr("type is not UTF-8"));
  EXPECT_THAT(WhyNot(Allow({{"role", std::string(4097, 'v')}})), HasSubstr("value has more than 4096"));
  EXPECT_THAT(WhyNot(Allow({{"role", "a\r\nX-Auth-Admin: yes"}})), HasSubstr("value is not UTF-8"));
  EXPECT_THAT(WhyNot(Allow({{"role", "\xff"}})), HasSubstr("value is not UTF-8"));
  EXPECT_THAT(WhyNot(Allow(std::vector<credentials::UserClaim>(65, {"role", "x"}))), HasSubstr("more than 64"));
  EXPECT_EQ(WhyNot(Allow(std::vector<credentials::UserClaim>(64, {std::string(256, 't'), std::string(4096, 'v')}))),
            "believed");
}

TEST(AnswerTest, WhatIsWrongIsSaidWithoutWordsOfTheService) {
  const std::string secret = "hunter2";
  EXPECT_THAT(WhyNot(Allow({{secret + "\n", secret + "\n"}})), ::testing::Not(HasSubstr(secret)));
}

}  // namespace
}  // namespace gatehouse::delegate
