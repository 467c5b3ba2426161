// Policies as they are written: references, certificates, addresses, times.
#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Policy(absl::string_view name, absl::string_view condition) {
  return absl::StrCat("policies { name: \"", name, "\" condition { ", condition, " } }\n");
}
std::string Wrapped(absl::string_view condition) { return Policy("p", condition); }

struct Bad {
  const char* condition;
  const char* path;  // below policies["p"].condition
  const char* message;
};

class BadPolicyTest : public BuildTest, public ::testing::WithParamInterface<Bad> {};

TEST_P(BadPolicyTest, IsOneViolationThatNamesFieldAndCause) {
  const Bad& bad = GetParam();
  const BuildResult result = BuildText(Base() + Wrapped(bad.condition));
  EXPECT_EQ(result.snapshot, nullptr);
  ASSERT_THAT(Lines(result.violations), SizeIs(1));
  EXPECT_EQ(result.violations[0].path, absl::StrCat(R"(policies["p"].condition)", bad.path));
  EXPECT_THAT(result.violations[0].message, HasSubstr(bad.message));
}

INSTANTIATE_TEST_SUITE_P(Clauses, BadPolicyTest, ::testing::ValuesIn(std::vector<Bad>{
    {R"(claim { type: "g" exact: "a" one_of: "b" })", ".claim", "exactly one of"},
    {R"(claim { type: "g" one_of: "b" matches { exact: "c" } })", ".claim", "exactly one of"},
    {R"(claim { type: "g" present: false one_of: "b" })", ".claim", "exactly one of"},
    {R"(claim { type: "g" matches { exact: "a" } matches {} })", ".claim.matches[1]", "needs one of"},
    {R"(claim { type: "g" matches { exact: "a" } matches { regex: "[" } })", ".claim.matches[1].regex", "RE2"},
    {R"(claim { type: "g" regex: "a" ignore_case: true })", ".claim.ignore_case", "(?i)"},
    {R"(claim { type: "g" exact: "a" values: 9 })", ".claim.values", "unknown value 9"},
    {R"(certificate {})", ".certificate", "asks for nothing"},
    {R"(certificate { match {} })", ".certificate", "asks for nothing"},
    {R"(certificate { scheme: "Certificate" })", ".certificate", "asks for nothing"},
    {R"(certificate { scheme: "Certifcate" accepted: true })", ".certificate.scheme", R"(did you mean "Certificate"?)"},
    {R"(certificate { match { subject { attribute: "Nope" value { exact: "x" } } } })", ".certificate.match.subject[0].attribute", "unknown attribute"},
    {R"(certificate { match { san_ip: "10.0.0.1/8" } })", ".certificate.match.san_ip[0]", "below its prefix"},
    {R"(certificate { serial_numbers: "12" serial_numbers: "xy" })", ".certificate.serial_numbers[1]", "no serial number"},
    {R"(certificate { thumbprints: "abcd" })", ".certificate.thumbprints[0]", "no thumbprint"},
    {R"(certificate { key_types: RSA key_types: 0 })", ".certificate.key_types[1]", "unknown value"},
    {R"(certificate { valid_for { seconds: 0 } })", ".certificate.valid_for", "out of range"},
    {R"(certificate { extended_key_usages: "nope" })", ".certificate.extended_key_usages[0]", "no dotted OID"},
    {R"(address {})", ".address.ranges", "must not be empty"},
    {R"(address { ranges: "10.0.0.0/8" ranges: "10.0.0.300" })", ".address.ranges[1]", "is not an IP address"},
    {R"(address { ranges: "::ffff:1.2.3.4" })", ".address.ranges[0]", "write it as IPv4"},
    {R"(time {})", ".time", "needs days"},
    {R"(time { time_zone: "Europe/Berlin" })", ".time", "needs days"},
    {R"(time { from: "08:00" })", ".time.to", "is required"},
    {R"(time { to: "08:00" })", ".time.from", "is required"},
    {R"(time { from: "8" to: "09:00" })", ".time.from", "no time of day"},
    {R"(time { from: "24:00" to: "09:00" })", ".time.from", "no time of day"},
    {R"(time { from: "09:00" to: "09:00" })", ".time.to", "a whole day needs neither"},
    {R"(time { days: MONDAY days: 8 })", ".time.days[1]", "unknown value 8"},
    {R"(time { days: MONDAY time_zone: "Mars/Olympus" })", ".time.time_zone", "tzdata"},
    {R"(time { days: MONDAY time_zone: "/etc/passwd" })", ".time.time_zone", "no time zone"},
    {R"(time { not_before { seconds: 10 } not_after { seconds: 9 } })", ".time.not_after", "never hold"},
    {R"(time { not_before { seconds: 999999999999 } })", ".time.not_before", "years 1 to 9999"},
    {R"(policy: "")", ".policy", "is required"},
    {R"(policy: "q")", ".policy", R"(no policy named "q")"},
    {R"(all_of { conditions { claim { type: "g" exact: "a" } } conditions { policy: "p" } })", ".all_of[1].policy", "refers to itself: p -> p"},
}));

class PoliciesTest : public BuildTest {
 protected:
  static const identity::PolicyRef& First(const Snapshot& snapshot, const std::string& route) {
    return snapshot.FindRoute(route)->requirement.policies.front();
  }
};

TEST_F(PoliciesTest, AreNamedReusedAndNestedInAnyOrder) {
  const auto snapshot = BuildGood(Base() + Policy("a", R"(all_of { conditions { policy: "c" } conditions { policy: "b" } })") +
                                  Policy("b", R"(policy: "c")") +
                                  Policy("c", R"(claim { type: "group" one_of: "x" scheme: "Basic" })") +
                                  Good("r", R"(require { any_of: "Basic" policies: "a" })") +
                                  Good("s", R"(require { any_of: "Basic" policies: "c" })"));
  const identity::PolicyRef& a = First(*snapshot, "r");
  ASSERT_THAT(a->references(), SizeIs(2));
  EXPECT_EQ(a->references()[0], First(*snapshot, "s")) << "one object, wherever it is used";
  EXPECT_EQ(a->references()[1]->references()[0], a->references()[0]);
}

TEST_F(PoliciesTest, RefuseCyclesOnceAndTellTheWay) {
  const BuildResult result = BuildText(Base() + Policy("a", R"(policy: "b")") +
                                       Policy("b", R"(any_of { conditions { policy: "c" } })") + Policy("c", R"(policy: "a")") +
                                       Policy("d", R"(policy: "a")"));
  EXPECT_THAT(Lines(result.violations), ElementsAre(R"(policies["c"].condition.policy: refers to itself: a -> b -> c -> a)"));
}

TEST_F(PoliciesTest, RefuseLongChainsWithoutADeepStack) {
  std::string text = Base() + Policy("p0", R"(claim { type: "g" present: true })");
  for (int i = 1; i < 500; ++i) absl::StrAppend(&text, Policy(absl::StrCat("p", i), absl::StrCat("policy: \"p", i - 1, "\"")));
  const BuildResult result = BuildText(text);
  EXPECT_FALSE(result.ok());
  for (const Violation& violation : result.violations) EXPECT_THAT(violation.message, HasSubstr("16")) << violation.path;
}

TEST_F(PoliciesTest, AreBuiltAnewWhenWhatTheyReferToChanged) {
  const std::string rest = Base() + Policy("outer", R"(policy: "inner")") + Good("r", R"(require { any_of: "Basic" policies: "outer" })");
  const auto with = [&](absl::string_view group) {
    return rest + Policy("inner", absl::StrCat("claim { type: \"group\" scheme: \"Basic\" exact: \"", group, "\" }"));
  };
  const auto first = BuildGood(with("a"));
  const auto same = BuildGood(with("a"), first.get());
  EXPECT_EQ(First(*same, "r"), First(*first, "r")) << "what did not change is shared";
  const auto second = BuildGood(with("b"), first.get());
  EXPECT_NE(First(*second, "r"), First(*first, "r"));
  EXPECT_NE(First(*second, "r")->epoch(), First(*first, "r")->epoch());
  // An unchanged policy must not hide that it became part of a cycle, or lost what it refers to.
  const BuildResult cycle = BuildText(rest + Policy("inner", R"(policy: "outer")"), first.get());
  EXPECT_THAT(Lines(cycle.violations), ElementsAre(HasSubstr("refers to itself")));
  const BuildResult gone = BuildText(rest, first.get());
  EXPECT_THAT(Lines(gone.violations), ElementsAre(HasSubstr(R"(policies["outer"].condition.policy: no policy named "inner")")));
}

TEST_F(PoliciesTest, AskForTheSchemeInWhatTheyReferToAsWell) {
  const BuildResult result =
      BuildText(Base() + Policy("outer", R"(policy: "inner")") + Policy("inner", R"(claim { type: "name" exact: "x" })") +
                Good("r", R"(require { any_of: "Basic" any_of: "Certificate" policies: "outer" })"));
  EXPECT_THAT(Lines(result.violations),
              ElementsAre(HasSubstr(R"(routes["r"].require.policies[0]: several schemes of this route (Basic, Certificate) can issue)")));
}

TEST_F(PoliciesTest, WarnOfACertificateThatNoSchemeOfTheRouteAccepts) {
  const BuildResult result = BuildText(Base() + Policy("p", R"(certificate { accepted: true })") +
                                       Good("r", R"(require { any_of: "Basic" policies: "p" })"));
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(Lines(result.warnings), Contains(HasSubstr("asks for a certificate, and no scheme of this route accepts one")));
}

// Each takes up to a MiB and 20 ms, while other writers wait.
TEST_F(PoliciesTest, BoundTheExpressionsOfACertificateClauseBeforeTheyAreCompiled) {
  std::string many;
  for (int i = 0; i < 65; ++i) absl::StrAppend(&many, R"(subject { attribute: "CN" value { regex: "[" } } )");
  const BuildResult result = BuildText(Base() + Wrapped(absl::StrCat("certificate { match { ", many, "} }")));
  EXPECT_THAT(Lines(result.violations), ElementsAre(HasSubstr("match: 65 regular expressions, at most 64")));
}

TEST_F(PoliciesTest, CompileAlone) {
  const v1::ConfigSet set = Parse(Policy("p", R"(claim { type: "g" exact: "a" scheme: "S" })") + "schemes { name: \"S\" }");
  EXPECT_THAT(CompilePolicies(set).violations, IsEmpty());
  EXPECT_THAT(CompilePolicies(set).policies, SizeIs(1));
  const CompiledPolicies bad = CompilePolicies(Parse(Policy("p", R"(claim { type: "g" exact: "a" scheme: "S" })")));
  EXPECT_THAT(bad.violations, SizeIs(1));
  EXPECT_THAT(bad.policies, IsEmpty());
}

}  // namespace
}  // namespace gatehouse::config
