#include "gateway/http/trace_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"

namespace gatehouse::http {
namespace {

using ::testing::MatchesRegex;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = absl::StrCat("00-", kTrace, "-00f067aa0ba902b7-01");

FieldList Fields(std::vector<std::pair<std::string, std::string>> list) {
  FieldList fields;
  for (const auto& [name, value] : list) fields.Add(name, value);
  return fields;
}

struct Told {
  std::string id, parent, state;
};
Told Tell(const FieldList& fields) {
  RandomIds ids;
  FieldList out;
  Told told;
  AddTrace(fields, &ids, &out, &told.id);
  told.parent = std::string(out.Find("traceparent").value_or(""));
  told.state = std::string(out.Find("tracestate").value_or("(none)"));
  return told;
}

TEST(TraceContextTest, KeepsTheTraceAndItsFlagsAndIsASpanOfItsOwn) {
  Told told = Tell(Fields({{"traceparent", kParent}, {"tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}}));
  EXPECT_EQ(told.id, kTrace);
  EXPECT_THAT(told.parent, MatchesRegex(absl::StrCat("00-", kTrace, "-[0-9a-f]{16}-01")));
  EXPECT_NE(told.parent, kParent);
  EXPECT_EQ(told.state, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
}

TEST(TraceContextTest, BeginsATraceWhereNoneIsNamed) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    Told told = Tell(Fields({{"tracestate", "a=b"}}));
    EXPECT_THAT(told.parent, MatchesRegex("00-[0-9a-f]{32}-[0-9a-f]{16}-00"));
    EXPECT_EQ(told.parent.substr(3, 32), told.id);
    EXPECT_EQ(told.state, "(none)") << "of no trace";
    EXPECT_TRUE(seen.insert(told.id).second);
  }
}

TEST(TraceContextTest, BelievesNothingMalformed) {
  const std::string rest = kParent.substr(2);
  for (const std::string& bad : {std::string(), std::string("00"), kParent.substr(0, 54), kParent + "0", kParent + "-x", "ff" + rest,
                                 "0G" + rest, absl::StrCat("00-", std::string(32, '0'), "-00f067aa0ba902b7-01"),
                                 absl::StrCat("00-", kTrace, "-0000000000000000-01"),
                                 absl::StrCat("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
                                 absl::StrCat("00_", kTrace, "-00f067aa0ba902b7-01"), " " + kParent, "01" + rest + "x"}) {
    EXPECT_FALSE(ReadTrace(Fields({{"traceparent", bad}})).has_value()) << bad;
    EXPECT_NE(Tell(Fields({{"traceparent", bad}, {"tracestate", "a=b"}})).id, kTrace);
  }
  EXPECT_FALSE(ReadTrace(Fields({{"traceparent", kParent}, {"traceparent", kParent}})).has_value()) << "two of them";
}

TEST(TraceContextTest, ReadsWhatItKnowsOfALaterVersion) {
  Told told = Tell(Fields({{"traceparent", "cc" + kParent.substr(2) + "-what-comes"}}));
  EXPECT_EQ(told.id, kTrace);
  EXPECT_THAT(told.parent, MatchesRegex(absl::StrCat("00-", kTrace, "-[0-9a-f]{16}-01")));
}

TEST(TraceContextTest, KeepsTheStateWithinItsBounds) {
  const auto state = [](std::vector<std::string> values) {
    std::vector<std::pair<std::string, std::string>> list = {{"traceparent", kParent}};
    for (std::string& v : values) list.emplace_back("tracestate", std::move(v));
    return Tell(Fields(std::move(list))).state;
  };
  EXPECT_EQ(state({"a=1, b=2", ",c=3"}), "a=1,b=2,c=3");
  EXPECT_EQ(state({"a=1", "b"}), "(none)") << "malformed: all of it goes";
  EXPECT_EQ(state({"A=1"}), "(none)");
  EXPECT_EQ(state({"a=1=2"}), "(none)");
  std::string many;
  for (int i = 0; i < 40; ++i) absl::StrAppend(&many, i == 0 ? "" : ",", "k", i, "=v");
  EXPECT_EQ(std::count(many.begin(), many.begin() + static_cast<std::ptrdiff_t>(state({many}).size()), '='), 32);
  const std::string large = "=" + std::string(250, 'v');
  EXPECT_EQ(state({"a" + large, "b" + large, "c" + large}).size(), 505u) << "whole members only";
}

}  // namespace
}  // namespace gatehouse::http
