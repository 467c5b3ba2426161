// What a judgement may cost, counted and not timed: a hostile presentation makes at most ten times the signatures of an
// ordinary one, and everything else is bounded too. tests/bench/judge_main.cc has the same in microseconds.
#include "gateway/certs/work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "gateway/certs/hostile_pki.h"


namespace gatehouse::certs {
namespace {

struct Judged {
  Verdict verdict;
  Trace trace;
};
Judged Ask(const Presentation& p) {
  Judged out;
  out.verdict = Judge(p.presented, p.options, kTestNow, nullptr, &out.trace);
  return out;
}

TEST(WorkTest, AnOrdinaryPathCostsTwoSignaturesAndNoSearch) {
  const Judged ordinary = Ask(HostilePki().Ordinary());
  EXPECT_EQ(ordinary.verdict.outcome, Outcome::kValid);
  EXPECT_EQ(ordinary.trace.work.signatures, 2u);
  EXPECT_EQ(ordinary.trace.work.candidates, 1u);
  EXPECT_LE(ordinary.trace.work.edges, 4u);
  EXPECT_EQ(ordinary.trace.work.comparisons, 0u);
}

class HostileTest : public ::testing::TestWithParam<Presentation> {};

TEST_P(HostileTest, CostsAtMostTenTimesAnOrdinaryOne) {
  const Judged hostile = Ask(GetParam());
  EXPECT_EQ(hostile.verdict.reason, GetParam().expected)
      << (hostile.trace.steps.empty() ? "" : hostile.trace.steps.back().detail);
  EXPECT_LE(hostile.trace.work.signatures, 20u);
  EXPECT_LE(hostile.trace.work.edges, Work::kMaxEdges + 1);
  EXPECT_LE(hostile.trace.work.comparisons, Work::kMaxComparisons + 64);
  EXPECT_LE(hostile.trace.work.candidates, Work::kMaxCandidates + 1);
  // Nor is it told at length.
  EXPECT_LE(hostile.trace.steps.size(), 4 + 4 * size_t{Work::kMaxCandidates});
}

INSTANTIATE_TEST_SUITE_P(WorkTest, HostileTest, ::testing::ValuesIn(HostilePki().All()),
                         [](const ::testing::TestParamInfo<Presentation>& test) {
                           std::string name = test.param.name;
                           for (char& c : name) c = absl::ascii_isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

TEST(WorkTest, UsesNoKeyBeforeItsCertificateIsVouchedFor) {
  // Fifteen authorities below one that the anchor never signed: one signature shows it.
  const Authority root = Root("CN=Root", 0), impostor = Root("CN=Root", 30);
  SchemeOptions options;
  options.trust_store = Store({root.certificate});
  Authority top = impostor;
  std::vector<CertificateRef> list;
  for (size_t i = 0; i < 7; ++i) {
    top = Sub(top, absl::StrCat("CN=", i), 10 + i);
    list.push_back(top.certificate);
  }
  list.insert(list.begin(), Leaf(top, "CN=alice"));
  Trace trace;
  EXPECT_EQ(Judge(list, options, kTestNow, nullptr, &trace).reason, Reason::kUnknownIssuer);
  EXPECT_EQ(trace.work.signatures, 1u);
}

}  // namespace
}  // namespace gatehouse::certs
