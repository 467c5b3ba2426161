#include "gateway/identity/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "gateway/identity/claims.h"

namespace gatehouse::identity {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Condition Clause(std::string type, MatchKind match, std::string value, std::string scheme = "",
                 std::string issuer = "") {
  return {.claim = {type, scheme, issuer, match, value}};
}
Condition Is(std::string type, std::string value) { return Clause(type, MatchKind::kExact, value); }
Condition Tree(ConditionKind kind, std::vector<Condition> children) {
  return {.kind = kind, .children = std::move(children)};
}

IdentityRef Caller(std::vector<Claim> claims) {
  Part part;
  part.scheme = "Basic";
  part.claims = std::move(claims);
  return Identity::Of(std::move(part));
}
const IdentityRef& Ann() {
  static const IdentityRef* const ann =
      new IdentityRef(Caller({{kName, "ann", "people", "Basic"},
                              {"role", "admin", "people", "Basic"},
                              {"role", "user", "people", "Basic"},
                              {"dns", "a.example.com", "CN=CA", "Certificate"}}));
  return *ann;
}

std::shared_ptr<const Policy> Compiled(Condition condition) {
  std::vector<PolicyError> errors;
  auto policy = Policy::Create({"p", std::move(condition), "no"}, &errors);
  for (const PolicyError& e : errors) ADD_FAILURE() << e.path << ": " << e.message;
  return policy;
}
bool Holds(Condition condition, const IdentityRef& identity = Ann()) {
  return Compiled(std::move(condition))->Holds({*identity});
}
std::vector<std::string> ErrorsOf(Condition condition) {
  std::vector<PolicyError> errors;
  EXPECT_EQ(Policy::Create({"p", std::move(condition), ""}, &errors), nullptr);
  std::vector<std::string> text;
  for (const PolicyError& e : errors) text.push_back(absl::StrCat(e.path, ": ", e.message));
  return text;
}

TEST(PolicyTest, MatchesAnyValueOfAClaim) {
  EXPECT_TRUE(Holds(Is("role", "user")));
  EXPECT_FALSE(Holds(Is("role", "User")));
  EXPECT_FALSE(Holds(Is("Role", "user")));
  EXPECT_TRUE(Holds(Clause("role", MatchKind::kPrefix, "adm")));
  EXPECT_FALSE(Holds(Clause("role", MatchKind::kPrefix, "dmin")));
  EXPECT_TRUE(Holds(Clause("dns", MatchKind::kSuffix, ".example.com")));
  EXPECT_FALSE(Holds(Clause("dns", MatchKind::kSuffix, "xa.example.com")));
  EXPECT_TRUE(Holds(Clause("dns", MatchKind::kPresent, "")));
  EXPECT_FALSE(Holds(Clause("ip", MatchKind::kPresent, "")));
}

TEST(PolicyTest, MatchesARegexAgainstTheWholeValue) {
  EXPECT_TRUE(Holds(Clause("role", MatchKind::kRegex, "adm.n|root")));
  EXPECT_FALSE(Holds(Clause("role", MatchKind::kRegex, "adm")));
  EXPECT_FALSE(Holds(Clause("role", MatchKind::kRegex, "us|roo")));
  EXPECT_FALSE(Holds(Clause("role", MatchKind::kRegex, "admin"),
                     Caller({{"role", "admin\nx", "", "Basic"}})));
}

TEST(PolicyTest, UnderstandsTheShortWordsOfNameClaims) {
  EXPECT_TRUE(Holds(Is("name", "ann")));
  EXPECT_TRUE(Holds(Is(kName, "ann")));
}

TEST(PolicyTest, CountsOnlyClaimsOfTheNamedSchemeAndIssuer) {
  EXPECT_TRUE(Holds(Clause("name", MatchKind::kExact, "ann", "Basic")));
  EXPECT_FALSE(Holds(Clause("name", MatchKind::kExact, "ann", "Certificate")));
  EXPECT_TRUE(Holds(Clause("dns", MatchKind::kPresent, "", "", "CN=CA")));
  EXPECT_FALSE(Holds(Clause("dns", MatchKind::kPresent, "", "", "CN=Other")));
}

TEST(PolicyTest, CombinesConditions) {
  const Condition yes = Is("role", "user"), no = Is("role", "root");
  EXPECT_TRUE(Holds(Tree(ConditionKind::kAllOf, {yes, yes})));
  EXPECT_FALSE(Holds(Tree(ConditionKind::kAllOf, {yes, no})));
  EXPECT_TRUE(Holds(Tree(ConditionKind::kAnyOf, {no, yes})));
  EXPECT_FALSE(Holds(Tree(ConditionKind::kAnyOf, {no, no})));
  EXPECT_TRUE(Holds(Tree(ConditionKind::kNoneOf, {no, no})));
  EXPECT_FALSE(Holds(Tree(ConditionKind::kNoneOf, {no, yes})));
  EXPECT_TRUE(Holds(Tree(ConditionKind::kAllOf, {Tree(ConditionKind::kNoneOf, {no}),
                                                 Tree(ConditionKind::kAnyOf, {no, yes})})));
}

TEST(PolicyTest, HoldsNothingPositiveForACallerWithoutClaims) {
  EXPECT_FALSE(Holds(Clause("role", MatchKind::kPresent, ""), Caller({})));
  EXPECT_FALSE(Holds(Is("role", ""), Caller({})));
}

TEST(PolicyTest, ReportsEveryViolationWithItsPath) {
  Condition bad =
      Tree(ConditionKind::kAllOf,
           {Clause("role", MatchKind::kRegex, "("), Tree(ConditionKind::kAnyOf, {}), Is("", "x"),
            Tree(ConditionKind::kNoneOf, {Clause("role", MatchKind::kPrefix, "")})});
  EXPECT_THAT(ErrorsOf(bad),
              ElementsAre(HasSubstr("condition.all_of[0].claim.regex: is not valid RE2"),
                          HasSubstr("condition.all_of[1].any_of: must not be empty"),
                          HasSubstr("condition.all_of[2].claim.type: is required"),
                          HasSubstr("condition.all_of[3].none_of[0].claim.prefix: an empty prefix")));
}

TEST(PolicyTest, BoundsDepthAndSize) {
  Condition deep = Is("role", "user");
  for (int i = 0; i < 15; ++i) deep = Tree(ConditionKind::kAllOf, {deep});
  EXPECT_TRUE(Holds(deep));
  EXPECT_THAT(ErrorsOf(Tree(ConditionKind::kAllOf, {deep})), ElementsAre(HasSubstr("16 deep")));
  std::vector<Condition> many(999, Is("role", "user"));
  EXPECT_TRUE(Holds(Tree(ConditionKind::kAllOf, many)));
  many.push_back(Is("role", "user"));
  EXPECT_THAT(ErrorsOf(Tree(ConditionKind::kAllOf, many)), ElementsAre(HasSubstr("1000 nodes")));
}

TEST(PolicyTest, RefusesAMessageThatCouldForgeAResponse) {
  std::vector<PolicyError> errors;
  EXPECT_EQ(Policy::Create({"p", Is("role", "x"), "a\r\nb"}, &errors), nullptr);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].path, "public_message");
}

TEST(PolicyTest, HasAnEpochOfItsContent) {
  EXPECT_EQ(Compiled(Is("name", "a"))->epoch(), Compiled(Is(kName, "a"))->epoch());
  EXPECT_NE(Compiled(Is("name", "a"))->epoch(), Compiled(Is("name", "b"))->epoch());
  EXPECT_NE(Compiled(Tree(ConditionKind::kAllOf, {Is("name", "a")}))->epoch(),
            Compiled(Tree(ConditionKind::kNoneOf, {Is("name", "a")}))->epoch());
}

TEST(PolicyTest, ListsItsClausesForValidation) {
  auto policy = Compiled(Tree(ConditionKind::kAnyOf, {Is("name", "a"), Is("role", "b")}));
  ASSERT_EQ(policy->claims().size(), 2u);
  EXPECT_EQ(policy->claims()[0].clause().type, kName);
}

}  // namespace
}  // namespace gatehouse::identity
