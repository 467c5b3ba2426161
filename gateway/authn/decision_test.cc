// Decide against an independent model of SEMANTICS 3, over every combination of up to three
// schemes.
#include "gateway/authn/decision.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/authn/challenge.h"

namespace gatehouse::authn {
namespace {

using identity::Condition;
using identity::ConditionKind;
using identity::Identity;
using identity::IdentityRef;
using identity::MatchKind;
using identity::Policy;

// Letters: n nothing presented, s success, f failure, p pending, l locked out, o overloaded.
constexpr absl::string_view kAnswers = "nsfplo";

IdentityRef Caller(uint32_t scheme) {
  identity::Part part;
  part.scheme = absl::StrCat("s", scheme);
  part.principal = absl::StrCat("user", scheme);
  part.claims = {{"from", part.scheme, "issuer", part.scheme}};
  return Identity::Of(std::move(part));
}

// Holds for who was authenticated by scheme `n`.
std::shared_ptr<const Policy> From(uint32_t n) {
  Condition condition{.claim = {"from", "", "", MatchKind::kExact, absl::StrCat("s", n)}};
  return Policy::Create({absl::StrCat("from", n), condition, absl::StrCat("only ", n)}, nullptr);
}

// Policies of the model by letter: 0 1 2 by whom the caller was authenticated; a b c that it was not by them; i from 10/8, o not
// from 10/8; t until the year 2001, u not until then.
std::shared_ptr<const Policy> Named(char letter) {
  if (letter >= '0' && letter <= '2') return From(static_cast<uint32_t>(letter - '0'));
  Condition condition;
  bool negated = letter == 'o' || letter == 'u';
  if (letter >= 'a' && letter <= 'c') {
    condition = {.claim = {"from", "", "", MatchKind::kExact, absl::StrCat("s", letter - 'a')}};
    negated = true;
  } else if (letter == 'i' || letter == 'o') {
    condition.kind = ConditionKind::kAddress;
    condition.address.ranges = {*identity::ParseClientRange("10.0.0.0/8")};
  } else {
    condition.kind = ConditionKind::kTime;
    condition.time.not_after = absl::FromUnixSeconds(1'000'000'000);
  }
  if (negated) condition = {.kind = ConditionKind::kNoneOf, .children = {condition}};
  return Policy::Create({std::string(1, letter), condition, ""}, nullptr);
}

class Script final : public SchemeSource {
 public:
  explicit Script(std::string answers) : answers_(std::move(answers)) {}
  SchemeResult Check(uint32_t index) override {
    asked_.push_back(static_cast<char>('0' + index));
    switch (answers_.at(index)) {
      case 's':
        return SchemeResult::Success(Caller(index));
      case 'f':
        return SchemeResult::Failure(Reason::kWrongPassword);
      case 'p':
        return SchemeResult::Pending();
      case 'l':
        return SchemeResult::Failure(Reason::kLockedOut, absl::Seconds(7));
      case 'o':
        return SchemeResult::Failure(Reason::kVerifierOverloaded, absl::Seconds(1));
      default:
        return SchemeResult::NoResult(Reason::kNoCertificate);
    }
  }
  const std::string& asked() const { return asked_; }

 private:
  const std::string answers_;
  std::string asked_;
};

// The model works on the string of answers alone and returns "status:who:asked".
std::string Model(Mode mode, const std::string& answers, const std::string& policies, const std::string& facts) {
  std::string members;
  size_t asked = answers.size();
  int status = 0;
  if (mode == Mode::kAllOf) {
    const size_t stop = answers.find_first_not_of('s');
    if (stop != std::string::npos) {
      asked = stop + 1;
      const char c = answers[stop];
      status = c == 'p' ? -1 : c == 'l' ? 429 : c == 'o' ? 503 : 401;
    } else {
      for (size_t i = 0; i < answers.size(); ++i) members += static_cast<char>('0' + i);
      status = answers.empty() ? 401 : 200;
    }
  } else {
    const size_t stop = answers.find_first_of("sp");
    if (stop != std::string::npos) {
      asked = stop + 1;
      status = answers[stop] == 'p' ? -1 : 200;
      if (status == 200) members = static_cast<char>('0' + stop);
    } else {
      const size_t slow = answers.find_first_of("lo");
      status = slow == std::string::npos ? 401 : answers[slow] == 'l' ? 429 : 503;
    }
  }
  if (status == 200) {
    for (char policy : policies) {
      const bool by = members.find(policy) != std::string::npos;
      const bool not_by = policy >= 'a' && policy <= 'c' && members.find(static_cast<char>('0' + policy - 'a')) == std::string::npos;
      // Of the facts only those that hold are listed: what is not known holds neither way.
      if (!by && !not_by && facts.find(policy) == std::string::npos) status = 403;
    }
  }
  return absl::StrCat(status, ":", members, ":", std::string("012").substr(0, asked));
}

std::string Real(Mode mode, const std::string& answers, const std::string& policies, const RequestFacts& facts) {
  Requirement requirement;
  requirement.mode = mode;
  for (uint32_t i = 0; i < answers.size(); ++i) requirement.schemes.push_back(i);
  for (char policy : policies) requirement.policies.push_back(Named(policy));
  Script script(answers);
  const Decision d = Decide(requirement, script, facts);

  using Kind = Decision::Kind;
  const Kind kind = d.status == 0     ? Kind::kPending
                    : d.status == 200 ? Kind::kAllow
                    : d.status == 401 ? Kind::kChallenge
                                      : Kind::kDeny;
  EXPECT_EQ(d.kind, kind) << answers;
  EXPECT_EQ(d.identity != nullptr, d.status == 200 || d.status == 403) << answers;
  EXPECT_EQ(d.policy != nullptr, d.status == 403) << answers;
  EXPECT_EQ(d.reason == Reason::kNone, d.status == 200 || d.status == 0) << answers;
  EXPECT_EQ(d.retry_after > absl::ZeroDuration(), d.status == 429 || d.status == 503) << answers;
  std::string members;
  if (d.identity != nullptr) {
    for (const auto& part : d.identity->parts()) members += part->scheme.substr(1);
  }
  return absl::StrCat(d.status == 0 ? -1 : d.status, ":", members, ":", script.asked());
}

TEST(DecideTest, AgreesWithTheModelOnEveryCombination) {
  std::vector<std::string> all = {""};
  for (size_t begin = 0, n = 0; n < 3; ++n) {
    const size_t end = all.size();
    for (; begin < end; ++begin) {
      for (char c : kAnswers) all.push_back(all[begin] + c);
    }
  }
  ASSERT_EQ(all.size(), 1u + 6u + 36u + 216u);
  const std::vector<std::string> policies = {"",  "0", "1", "2",  "01", "12", "012", "a",   "b",  "c",
                                             "i", "o", "t", "u", "0i", "bo", "1u",  "iu2", "abc"};
  const std::vector<uint8_t> inside = {10, 1, 2, 3}, outside = {11, 1, 2, 3};
  const absl::Time early = absl::FromUnixSeconds(1), late = absl::FromUnixSeconds(2'000'000'000);
  // What is known of the request, and which of the letters hold by it.
  const std::vector<std::pair<RequestFacts, std::string>> facts = {
      {{}, ""}, {{inside, early}, "it"}, {{outside, late}, "ou"}, {{inside, absl::InfinitePast()}, "i"}, {{{}, late}, "u"}};
  int compared = 0;
  for (Mode mode : {Mode::kAnyOf, Mode::kAllOf, Mode::kAnyScheme}) {
    for (const std::string& answers : all) {
      for (const std::string& p : policies) {
        for (const auto& [known, holding] : facts) {
          EXPECT_EQ(Real(mode, answers, p, known), Model(mode, answers, p, holding))
              << "mode " << static_cast<int>(mode) << " answers " << answers << " policies " << p << " facts " << holding;
          ++compared;
        }
      }
    }
  }
  EXPECT_EQ(compared, 3 * 259 * 19 * 5);
}

Decision Any(const std::string& answers) {
  Requirement requirement;
  for (uint32_t i = 0; i < answers.size(); ++i) requirement.schemes.push_back(i);
  Script script(answers);
  return Decide(requirement, script);
}

TEST(DecideTest, AsksTheSchemesInTheOrderGiven) {
  Requirement requirement;
  requirement.schemes = {2, 0, 1};
  Script script("ssn");
  const Decision decision = Decide(requirement, script);
  EXPECT_EQ(script.asked(), "20");
  EXPECT_EQ(decision.scheme, 0u);
  EXPECT_EQ(decision.identity->principal(), "user0");
}

TEST(DecideTest, ReportsTheFailureAndNotWhatWasMissing) {
  EXPECT_EQ(Any("nf").reason, Reason::kWrongPassword);
  EXPECT_EQ(Any("nf").scheme, 1u);
  EXPECT_EQ(Any("n").reason, Reason::kNoCertificate);
  EXPECT_EQ(Any("nn").reason, Reason::kNoCredentials);
  EXPECT_EQ(Any("fl").retry_after, absl::Seconds(7));
}

TEST(DecideTest, AdmitsAnybodyToAnAnonymousRouteWithoutAsking) {
  Requirement requirement;
  requirement.mode = Mode::kAnonymous;
  Script script("");
  const Decision decision = Decide(requirement, script);
  EXPECT_EQ(decision.kind, Decision::Kind::kAllow);
  EXPECT_EQ(decision.identity->parts().size(), 0u);
  EXPECT_EQ(script.asked(), "");
}

TEST(DecideTest, RefusesWhatIsBroken) {
  Script script("s");
  EXPECT_EQ(Decide(Requirement{}, script).status, 401) << "no scheme";
  Requirement all;
  all.mode = Mode::kAllOf;
  EXPECT_EQ(Decide(all, script).status, 401) << "no scheme";
  Requirement odd;
  odd.mode = static_cast<Mode>(17);
  odd.schemes = {0};
  EXPECT_EQ(Decide(odd, script).status, 401);
  Requirement null_policy;
  null_policy.schemes = {0};
  null_policy.policies = {nullptr};
  EXPECT_EQ(Decide(null_policy, script).status, 403);

  class NullSource final : public SchemeSource {
    SchemeResult Check(uint32_t) override { return SchemeResult::Success(nullptr); }
  } null_identity;
  for (Mode mode : {Mode::kAnyOf, Mode::kAllOf}) {
    Requirement requirement;
    requirement.mode = mode;
    requirement.schemes = {0};
    EXPECT_EQ(Decide(requirement, null_identity).kind, Decision::Kind::kChallenge);
  }
}

TEST(ChallengeTest, QuotesTheRealm) {
  EXPECT_EQ(Challenge(identity::PartKind::kBasic, "My \"\\ API"),
            "Basic realm=\"My \\\"\\\\ API\", charset=\"UTF-8\"");
  EXPECT_EQ(Challenge(identity::PartKind::kCertificate, "api"), "ClientCertificate realm=\"api\"");
}

}  // namespace
}  // namespace gatehouse::authn
