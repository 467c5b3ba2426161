// What the audit tells, and how much of it.
#include "control/api/audit.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RefusalsTest : public ::testing::Test {
 protected:
  void Refuse(const std::string& name, double seconds, const std::string& method = "/gatehouse.v1.ConfigService/Apply") {
    Caller who(name);
    who.peer = "192.0.2.1:4";
    const auto left_out = refusals_.Take(
        who, Refusals::Instant(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds))));
    if (!left_out.has_value()) return;
    told_.push_back(RefusalEvent(who, method, absl::PermissionDeniedError("no")));
    left_out_ = *left_out;
  }
  std::vector<v1::Event> told_;
  uint64_t left_out_ = 0;  // before the last that was told
  Refusals refusals_{{.of_one = {1, 10}, .of_all = {20, 200}}};
};

TEST_F(RefusalsTest, OneIsToldWithWhoAndWhereAndWhat) {
  Refuse("san:a.example", 100);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].type(), v1::Event::AUDIT);
  EXPECT_EQ(told_[0].outcome(), v1::Event::REFUSED);
  EXPECT_EQ(told_[0].actor(), "san:a.example");
  EXPECT_EQ(told_[0].peer(), "192.0.2.1:4");
  EXPECT_EQ(told_[0].audit().method(), "ConfigService/Apply");
  EXPECT_EQ(told_[0].detail(), "ConfigService/Apply: no");
}

TEST_F(RefusalsTest, WhoIsRefusedInALoopIsToldOfNowAndThenAndHidesNobody) {
  for (int i = 0; i < 1000; ++i) Refuse("uid:7", 100);
  EXPECT_EQ(told_.size(), 10u);
  Refuse("uid:8", 100);
  ASSERT_EQ(told_.size(), 11u);
  EXPECT_EQ(left_out_, 990u);
  Refuse("uid:7", 101.5);
  EXPECT_EQ(told_.size(), 12u);
  EXPECT_EQ(left_out_, 0u);
}

TEST_F(RefusalsTest, ManyStrangersTogetherDoNotFloodItEither) {
  for (int i = 0; i < 5000; ++i) Refuse(absl::StrCat("uid:", i), 100);
  EXPECT_EQ(told_.size(), 200u);
}

TEST_F(RefusalsTest, WhyIsOneLineAndWithoutWordsTheCode) {
  EXPECT_EQ(RefusalText(absl::InvalidArgumentError("nothing was changed\na: b")), "nothing was changed; a: b");
  EXPECT_EQ(RefusalText(absl::Status(absl::StatusCode::kUnavailable, "")), "UNAVAILABLE");
  EXPECT_EQ(RefusalText(absl::NotFoundError(std::string(5000, 'x'))).size(), 2000u);
  EXPECT_LE(RefusalText(absl::NotFoundError(std::string(5000, '\n'))).size(), 2000u);
}

// One message that cannot be parsed makes a page of the history that cannot be read.
TEST_F(RefusalsTest, WhyCanBeReadEvenIfItQuotesWhatIsNoText) {
  for (const std::string& quoted : {std::string("a\xff"), std::string(5000, '\x80'), std::string(1999, 'x') + "\xe2\x82"}) {
    v1::Revision record;
    record.set_refusal(RefusalText(absl::InvalidArgumentError(quoted)));
    EXPECT_LE(record.refusal().size(), 2000u);
    v1::Revision read;
    EXPECT_TRUE(read.ParseFromString(record.SerializeAsString())) << record.refusal();
  }
}

TEST_F(RefusalsTest, OneNetworkOfIpv6IsOneStranger) {
  Caller one, neighbour, other;
  one.peer = "[2001:db8::1]:4";
  neighbour.peer = "[2001:db8::2:3]:5";
  other.peer = "[2001:db8:0:1::1]:4";
  EXPECT_EQ(AccountOf(one), AccountOf(neighbour)) << "or it pushes out what other strangers were refused";
  EXPECT_NE(AccountOf(one), AccountOf(other));
  EXPECT_EQ(AccountOf(one), "2001:db8::/64");
  one.peer = "192.0.2.1:4";
  EXPECT_EQ(AccountOf(one), "192.0.2.1");
}

TEST_F(RefusalsTest, AMethodOfAStrangersMakingIsEscapedAndCut) {
  Refuse("", 100, "/x\033[2J" + std::string(5000, 'y'));
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].actor(), "unknown");
  EXPECT_EQ(told_[0].detail().find('\033'), std::string::npos);
  EXPECT_LT(told_[0].detail().size(), 400u);
}

TEST(AuditEventTest, CanBeReadWhereverWhatACallerSaidIsCut) {
  std::string euros;
  while (euros.size() < 4000) euros += "\u20ac";
  for (size_t before = 0; before < 3; ++before) {
    WriteOptions options;
    options.message = std::string(before, 'a') + euros;
    const v1::Event event = AuditEvent(Caller("uid:7"), absl::InvalidArgumentError(options.message), options);
    EXPECT_LE(event.audit().message().size(), 1024u);
    v1::Event read;
    EXPECT_TRUE(read.ParseFromString(event.SerializeAsString())) << before;
  }
}

TEST(AuditEventTest, TellsRevisionsAndLinesAndNoMoreThanAHundred) {
  Outcome outcome;
  outcome.previous = 4;
  outcome.revision = 5;
  v1::Change change;
  change.mutable_id()->set_kind(v1::ROUTE);
  change.mutable_id()->set_name("orders");
  change.set_action(v1::Change::CHANGED);
  change.add_details("require: set");
  v1::Change gone;
  gone.mutable_id()->set_kind(v1::POLICY);
  gone.mutable_id()->set_name("p");
  gone.set_action(v1::Change::REMOVED);
  outcome.changes = {change, gone};
  WriteOptions options;
  options.method = "ConfigService/Apply";
  options.message = "why";
  options.dry_run = true;
  Caller who("uid:1");
  who.peer = "unix";
  v1::Event event = AuditEvent(who, outcome, options);
  EXPECT_EQ(event.detail(), "ConfigService/Apply (dry run): 2 changes");
  EXPECT_EQ(event.previous_revision(), 4u);
  EXPECT_EQ(event.revision(), 5u);
  EXPECT_EQ(event.peer(), "unix");
  EXPECT_TRUE(event.audit().dry_run());
  EXPECT_EQ(event.audit().message(), "why");
  EXPECT_THAT(event.audit().changes(), ElementsAre("~ routes[\"orders\"] require: set", "- policies[\"p\"]"));

  for (int i = 0; i < 150; ++i) outcome.changes.push_back(change);
  event = AuditEvent(who, outcome, options);
  ASSERT_EQ(event.audit().changes_size(), 101);
  EXPECT_EQ(event.audit().changes(100), "and 52 more");
}

}  // namespace
}  // namespace gatehouse::api
