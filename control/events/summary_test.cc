#include "control/events/summary.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using D = v1::SummaryRequest;

class SummaryTest : public ::testing::Test {
 protected:
  struct What {
    v1::Event::Outcome outcome = v1::Event::ALLOWED;
    v1::Reason reason = v1::REASON_UNSPECIFIED;
    std::string route = "orders";
    std::string scheme = "Certificate";
    std::string gateway = "edge-1";
    uint32_t sampled = 0;
    int64_t micros = -1;  // now
  };
  void Decide(const What& what) {
    Facts facts;
    facts.type = v1::Event::DECISION;
    facts.outcome = what.outcome;
    facts.reason = what.reason;
    facts.route = what.route;
    facts.gateway = what.gateway;
    if (!what.scheme.empty()) facts.schemes.push_back(what.scheme);
    facts.sampled = what.sampled;
    facts.micros = what.micros >= 0 ? what.micros : absl::ToUnixMicros(clock_.Now());
    summary_.Add(facts, clock_.Now());
  }
  // `TIME:outcome reason route scheme gateway count`, minutes since the start, what is empty left out.
  std::vector<std::string> Rows(const v1::SummaryRequest& request) {
    absl::StatusOr<v1::SummaryResponse> response = summary_.Count(request);
    EXPECT_TRUE(response.ok()) << response.status();
    std::vector<std::string> rows;
    if (!response.ok()) return rows;
    for (const v1::SummaryRow& row : response->rows()) {
      std::string text = absl::StrCat((row.time().seconds() - absl::ToUnixSeconds(start_)) / 60, ":");
      if (row.outcome() != 0) absl::StrAppend(&text, " ", v1::Event::Outcome_Name(row.outcome()));
      if (row.reason() != 0) absl::StrAppend(&text, " ", v1::Reason_Name(row.reason()));
      for (const std::string& name : {row.route(), row.scheme(), row.gateway()}) {
        if (!name.empty()) absl::StrAppend(&text, " ", name);
      }
      rows.push_back(absl::StrCat(text, " ", row.count()));
    }
    return rows;
  }
  static v1::SummaryRequest By(std::initializer_list<D::Dimension> by, int step_minutes = 0) {
    v1::SummaryRequest request;
    for (D::Dimension d : by) request.add_by(d);
    if (step_minutes > 0) request.mutable_step()->set_seconds(step_minutes * 60);
    return request;
  }
  std::string Refusal(const v1::SummaryRequest& request) {
    const absl::Status status = summary_.Count(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }

  FakeClock clock_;  // at a whole minute
  const absl::Time start_ = clock_.Now();
  Summary summary_{clock_, {.per_minute = 50, .combinations = 200, .names = 40}};
};

TEST_F(SummaryTest, CountsByOutcomeAndReasonUnlessToldOtherwise) {
  for (int i = 0; i < 3; ++i) Decide({});
  Decide({.outcome = v1::Event::REFUSED, .reason = v1::EXPIRED, .route = "pay"});
  clock_.Advance(absl::Minutes(5));
  for (int i = 0; i < 4; ++i) Decide({.outcome = v1::Event::REFUSED, .reason = v1::EXPIRED});
  clock_.Advance(absl::Seconds(1));

  EXPECT_THAT(Rows({}), ElementsAre("0: REFUSED EXPIRED 5", "0: ALLOWED 3"));
  EXPECT_THAT(Rows(By({D::ROUTE})), ElementsAre("0: orders 7", "0: pay 1"));
  EXPECT_THAT(Rows(By({D::SCHEME, D::GATEWAY_NAME})), ElementsAre("0: Certificate edge-1 8"));
  EXPECT_THAT(Rows(By({D::REASON}, 5)), ElementsAre("0: 3", "0: EXPIRED 1", "5: EXPIRED 4"));
}

// What was counted last is remembered: runs of like decisions, changes of everything, minutes that go, and counts that are full
// come to the same as if it were not.
TEST_F(SummaryTest, WhateverComesInAnyOrderTheCountsAddUp) {
  std::mt19937 random(11);
  std::map<std::string, uint64_t> by_route;
  uint64_t all = 0;
  What call;
  const std::string routes[] = {"a", "b", "c"};
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 3 == 0) call.route = routes[random() % 3];
    if (random() % 3 == 0) call.outcome = random() % 2 == 0 ? v1::Event::ALLOWED : v1::Event::REFUSED;
    if (random() % 5 == 0) call.scheme = random() % 2 == 0 ? "Basic" : "Certificate";
    call.sampled = random() % 4 == 0 ? static_cast<uint32_t>(random() % 9) : 0;
    if (random() % 100 == 0) clock_.Advance(absl::Seconds(static_cast<int>(random() % 40)));
    Decide(call);
    const uint64_t weight = std::max<uint32_t>(call.sampled, 1);
    by_route[call.route] += weight;
    all += weight;
  }
  clock_.Advance(absl::Seconds(1));
  uint64_t told = 0;
  const auto response = summary_.Count(By({D::ROUTE}));
  ASSERT_TRUE(response.ok());
  for (const v1::SummaryRow& row : response->rows()) {
    told += row.count();
    if (row.route() != Summary::kOther) {
      EXPECT_LE(row.count(), by_route[row.route()]);
    }
  }
  EXPECT_EQ(told, all);
}

TEST_F(SummaryTest, AnEventThatStandsForSeveralCountsAsMany) {
  Decide({.sampled = 100});
  Decide({.sampled = 1});
  Decide({});
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Rows({}), ElementsAre("0: ALLOWED 102"));
}

TEST_F(SummaryTest, OnlyDecisionsCount) {
  Facts facts;
  facts.type = v1::Event::HANDSHAKE;
  summary_.Add(facts, clock_.Now());
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Rows({}), IsEmpty());
}

TEST_F(SummaryTest, FiltersAndTimesChoose) {
  Decide({.scheme = "Basic"});
  Facts both;
  both.type = v1::Event::DECISION;
  both.outcome = v1::Event::ALLOWED;
  both.route = "orders";
  both.schemes = {"Basic", "Certificate"};
  summary_.Add(both, clock_.Now());
  clock_.Advance(absl::Minutes(10));
  Decide({.scheme = "Certificate", .gateway = "edge-2"});
  clock_.Advance(absl::Seconds(1));

  v1::SummaryRequest request = By({D::SCHEME});
  request.mutable_filter()->add_schemes("Certificate");
  EXPECT_THAT(Rows(request), ElementsAre("0: Basic+Certificate 1", "0: Certificate 1"));
  request.mutable_filter()->add_gateways("edge-2");
  EXPECT_THAT(Rows(request), ElementsAre("0: Certificate 1"));
  request = By({D::ROUTE});
  SetTime(start_ + absl::Minutes(5), request.mutable_from());
  EXPECT_THAT(Rows(request), ElementsAre("5: orders 1"));
  SetTime(start_ + absl::Minutes(8), request.mutable_to());
  EXPECT_THAT(Rows(request), IsEmpty());
}

TEST_F(SummaryTest, ADayIsKnownAndNoMore) {
  Decide({.route = "first"});
  clock_.Advance(absl::Hours(23));
  Decide({.route = "second"});
  EXPECT_THAT(Rows(By({D::ROUTE})), ::testing::SizeIs(2));
  clock_.Advance(absl::Hours(2));
  Decide({.route = "third"});
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Rows(By({D::ROUTE})), ElementsAre(HasSubstr("second"), HasSubstr("third")));
  EXPECT_EQ(summary_.Count({})->known_from().seconds(), absl::ToUnixSeconds(clock_.Now() - absl::Hours(24)));
  clock_.Advance(absl::Hours(24 * 400));
  EXPECT_THAT(Rows({}), IsEmpty());
}

TEST_F(SummaryTest, AnEventOfAnotherTimeCountsThenIfThatIsKnownElseNow) {
  clock_.Advance(absl::Minutes(30));
  Decide({.route = "late", .micros = absl::ToUnixMicros(start_ + absl::Minutes(10))});
  Decide({.route = "strange", .micros = absl::ToUnixMicros(start_ + absl::Hours(100))});
  Decide({.route = "ancient", .micros = 1});
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Rows(By({D::ROUTE}, 10)), ElementsAre("10: late 1", "30: ancient 1", "30: strange 1"));
}

TEST_F(SummaryTest, AClockThatWasFarAheadAndIsSetRightIsFollowed) {
  Decide({.route = "before"});
  clock_.Advance(absl::Hours(12));
  Decide({.route = "ahead"});
  clock_.Set(start_ + absl::Minutes(10));
  Decide({.route = "right"});
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Rows(By({D::ROUTE}, 10)), ElementsAre("0: before 1", "10: right 1"));
  clock_.Set(start_ - absl::Hours(48));  // as it was at the start, too
  EXPECT_EQ(summary_.Count({})->known_from().seconds(), absl::ToUnixSeconds(clock_.Now()));
  Decide({.route = "first"});
  clock_.Advance(absl::Hours(1));
  Decide({.route = "second"});
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Rows(By({D::ROUTE}, 10)), ElementsAre("-2880: first 1", "-2820: second 1"));
}

TEST_F(SummaryTest, AClockThatIsSetBackALittleForgetsNothing) {
  clock_.Advance(absl::Minutes(10));
  Decide({.route = "before"});
  clock_.Advance(-absl::Minutes(2));
  Decide({.route = "after"});
  clock_.Advance(absl::Minutes(3));
  EXPECT_THAT(Rows(By({D::ROUTE}, 10)), ElementsAre("0: after 1", "10: before 1"));
}

TEST_F(SummaryTest, WhatIsBeyondItsBoundsKeepsOutcomeAndReason) {
  for (int i = 0; i < 300; ++i) Decide({.outcome = v1::Event::REFUSED, .reason = v1::EXPIRED, .route = absl::StrCat("r", i)});
  clock_.Advance(absl::Seconds(1));
  uint64_t total = 0;
  uint64_t other = 0;
  const v1::SummaryResponse counted = *summary_.Count(By({D::ROUTE}));
  for (const v1::SummaryRow& row : counted.rows()) {
    total += row.count();
    if (row.route() == Summary::kOther) other += row.count();
  }
  EXPECT_EQ(total, 300u);
  EXPECT_GE(other, 250u);
  EXPECT_THAT(Rows({}), ElementsAre("0: REFUSED EXPIRED 300"));

  // Names that nothing refers to any more make room.
  clock_.Advance(absl::Hours(25));
  Decide({.route = "new"});
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Rows(By({D::ROUTE})), ElementsAre(HasSubstr("new 1")));
}

TEST_F(SummaryTest, NumbersThatAreNoReasonDoNotGrowIt) {
  for (int i = 0; i < 1000; ++i) {
    Facts facts;
    facts.type = v1::Event::DECISION;
    facts.outcome = 1000 + i;
    facts.reason = 5000 + i;
    summary_.Add(facts, clock_.Now());
  }
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Rows({}), ElementsAre("0: 1000"));
}

TEST_F(SummaryTest, BadQuestionsAreNamed) {
  v1::SummaryRequest request = By({D::ROUTE});
  request.mutable_step()->set_seconds(90);
  EXPECT_THAT(Refusal(request), HasSubstr("step"));
  request = By({static_cast<D::Dimension>(77)});
  EXPECT_THAT(Refusal(request), HasSubstr("by"));
  request = {};
  request.mutable_filter()->add_principals("alice");
  EXPECT_THAT(Refusal(request), HasSubstr("principal"));
  request = {};
  request.mutable_filter()->add_types(v1::Event::TRUST);
  EXPECT_THAT(Refusal(request), HasSubstr("DECISION"));
  request = {};
  SetTime(clock_.Now() + absl::Hours(1), request.mutable_from());
  EXPECT_THAT(Refusal(request), HasSubstr("from"));
  request = {};
  request.mutable_to()->set_seconds(-5);
  EXPECT_THAT(Refusal(request), HasSubstr("to"));
}

}  // namespace
}  // namespace gatehouse::hub
