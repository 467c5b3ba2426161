#include "gateway/identity/clause.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "gateway/certs/mint.h"
#include "gateway/identity/claims.h"
#include "gateway/identity/headers.h"
#include "gateway/identity/policy.h"

namespace gatehouse::identity {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Outcome kMet = Outcome::kMet, kNotMet = Outcome::kNotMet, kUnknown = Outcome::kUnknown;

IdentityRef Caller(std::vector<std::string> groups) {
  Part part;
  part.scheme = "Basic";
  for (std::string& group : groups) part.claims.push_back({"group", std::move(group), "people", "Basic"});
  return Identity::Of(std::move(part));
}

Outcome Of(ClaimClause clause, const std::vector<std::string>& groups) {
  clause.type = "group";
  std::vector<std::pair<std::string, std::string>> errors;
  const ClaimTest test = ClaimTest::Create(std::move(clause), &errors);
  EXPECT_TRUE(errors.empty()) << errors[0].first << errors[0].second;
  const IdentityRef caller = Caller(groups);
  return test.Check({*caller});
}
std::vector<std::string> ErrorsOf(ClaimClause clause) {
  clause.type = "group";
  std::vector<std::pair<std::string, std::string>> errors;
  ClaimTest::Create(std::move(clause), &errors);
  std::vector<std::string> texts;
  for (const auto& [field, message] : errors) texts.push_back(absl::StrCat(field, ": ", message));
  return texts;
}

TEST(ClaimTestTest, TakesSeveralValuesInOneClause) {
  const ClaimClause one_of{.one_of = {"buyers", "staff"}};
  EXPECT_EQ(Of(one_of, {"x", "staff"}), kMet);
  EXPECT_EQ(Of(one_of, {"Staff"}), kNotMet);
  EXPECT_EQ(Of(one_of, {""}), kNotMet);
  const ClaimClause mixed{.matches = {{MatchKind::kPrefix, "ops-"}, {MatchKind::kRegex, "a|b"}, {MatchKind::kSuffix, "!"}}};
  EXPECT_EQ(Of(mixed, {"ops-1"}), kMet);
  EXPECT_EQ(Of(mixed, {"b"}), kMet);
  EXPECT_EQ(Of(mixed, {"now!"}), kMet);
  EXPECT_EQ(Of(mixed, {"ab"}), kNotMet);
}

TEST(ClaimTestTest, ComparesWithoutCaseWhereAsked) {
  EXPECT_EQ(Of({.match = MatchKind::kExact, .value = "Buyers", .ignore_case = true}, {"bUYERS"}), kMet);
  EXPECT_EQ(Of({.match = MatchKind::kPrefix, .value = "BUY", .ignore_case = true}, {"buyers"}), kMet);
  EXPECT_EQ(Of({.match = MatchKind::kSuffix, .value = "ERS", .ignore_case = true}, {"buyers"}), kMet);
  EXPECT_EQ(Of({.one_of = {"x", "BUYERS"}, .ignore_case = true}, {"buyers"}), kMet);
  EXPECT_EQ(Of({.match = MatchKind::kExact, .value = "k", .ignore_case = true}, {"\u212A"}), kNotMet) << "KELVIN SIGN";
  EXPECT_EQ(Of({.match = MatchKind::kSuffix, .value = "buyers", .ignore_case = true}, {"uyers"}), kNotMet);
}

TEST(ClaimTestTest, AsksForAnyEveryOrNoValue) {
  const ClaimClause b{.match = MatchKind::kPrefix, .value = "b"};
  struct Row {
    std::vector<std::string> groups;
    Outcome any, all, none;
  };
  for (const Row& row : std::vector<Row>{{{}, kNotMet, kNotMet, kMet},
                                         {{"b1"}, kMet, kMet, kNotMet},
                                         {{"b1", "c"}, kMet, kNotMet, kNotMet},
                                         {{"c", "b1"}, kMet, kNotMet, kNotMet},
                                         {{"c", "d"}, kNotMet, kNotMet, kMet}}) {
    ClaimClause clause = b;
    EXPECT_EQ(Of(clause, row.groups), row.any);
    clause.values = Quantifier::kAll;
    EXPECT_EQ(Of(clause, row.groups), row.all);
    clause.values = Quantifier::kNone;
    EXPECT_EQ(Of(clause, row.groups), row.none);
  }
}

TEST(ClaimTestTest, DoesNotTakeForNoWhatItCannotTell) {
  // A regular expression finds nothing in what is no UTF-8, or too long to be looked at.
  for (const std::string& odd : {std::string("\xff" "evil"), std::string(ClaimTest::kMaxRegexValue + 1, 'a')}) {
    ClaimClause evil{.match = MatchKind::kRegex, .value = ".*evil|a*"};
    EXPECT_EQ(Of(evil, {odd}), kUnknown);
    evil.values = Quantifier::kNone;
    EXPECT_EQ(Of(evil, {odd}), kUnknown) << "a negation must not hold by it";
    evil.values = Quantifier::kAll;
    EXPECT_EQ(Of(evil, {odd}), kUnknown);
    EXPECT_EQ(Of(evil, {odd, "b"}), kNotMet) << "one that surely does not match decides";
  }
  // Neither is a value looked at beyond the bound.
  std::vector<std::string> many(ClaimTest::kMaxValues, "x");
  ClaimClause last{.match = MatchKind::kExact, .value = "evil"};
  EXPECT_EQ(Of(last, many), kNotMet);
  many.push_back("evil");
  EXPECT_EQ(Of(last, many), kUnknown);
  last.values = Quantifier::kNone;
  EXPECT_EQ(Of(last, many), kUnknown);
  many.front() = "evil";
  EXPECT_EQ(Of(last, many), kNotMet);
}

TEST(ClaimTestTest, NamesTheFieldThatIsWrong) {
  EXPECT_THAT(ErrorsOf({.match = MatchKind::kRegex, .value = "(?i)a", .ignore_case = true}),
              ElementsAre(HasSubstr("ignore_case: is not for regular expressions")));
  EXPECT_THAT(ErrorsOf({.matches = {{MatchKind::kExact, "a"}, {MatchKind::kRegex, "("}, {MatchKind::kPrefix, ""}}}),
              ElementsAre(HasSubstr("matches[1].regex: is not valid RE2"), HasSubstr("matches[2].prefix: an empty prefix")));
  EXPECT_THAT(ErrorsOf({.one_of = {"a", std::string(5000, 'x')}}), ElementsAre(HasSubstr("one_of[1]: must be at most")));
  EXPECT_THAT(ErrorsOf({.one_of = std::vector<std::string>(1001, "a")}), ElementsAre(HasSubstr("one_of: at most 1000")));
}

// ---- certificates -----------------------------------------------------------------------------------------------------

class CertificateClauseTest : public ::testing::Test {
 protected:
  static absl::Time Now() { return absl::FromUnixSeconds(1'750'000'000); }

  CertificateClauseTest() {
    UniqueKey ca_key = *certs::MintKey(certs::KeyType::kP256);
    UniqueKey key = *certs::MintKey(certs::KeyType::kP384);
    certs::MintRequest ca{.profile = certs::Profile::kCa, .subject = "CN=Root"};
    certs::MintRequest leaf{.profile = certs::Profile::kLeaf,
                            .subject = "CN=alice,OU=Billing,O=Example",
                            .sans = {{certs::SanKind::kDns, "a.example"}},
                            .server_use = true};
    ca.not_before = leaf.not_before = Now() - absl::Hours(1);
    ca.not_after = leaf.not_after = Now() + absl::Hours(240);
    const certs::CertificateRef root = *certs::Mint(ca, ca_key.get(), std::nullopt);
    leaf_ = *certs::Mint(leaf, key.get(), certs::Signer{root.get(), ca_key.get()});
    caller_ = CertificateIdentity(leaf_, {}, {.scheme = "Certificate"});
  }
  Outcome Of(const CertificateClause& clause) const { return Check(clause, {*caller_, {}, Now()}); }

  certs::CertificateRef leaf_;
  IdentityRef caller_;
};

TEST_F(CertificateClauseTest, ComparesEveryFieldOfTheAcceptedOne) {
  CertificateClause clause;
  EXPECT_EQ(Of(clause), kMet);
  clause.serials = {*ParseSerial(absl::StrCat("00:", leaf_->serial_hex_integer()))};
  EXPECT_EQ(Of(clause), kMet);
  ASSERT_TRUE(AddThumbprint(HexLower(AsView(leaf_->sha256())), &clause).ok());
  EXPECT_EQ(Of(clause), kMet);
  clause.thumbprints.clear();
  ASSERT_TRUE(AddThumbprint(leaf_->sha1_hex(), &clause).ok());
  EXPECT_EQ(Of(clause), kMet);
  clause.key_types = {certs::KeyFamily::kRsa, certs::KeyFamily::kEc};
  EXPECT_EQ(Of(clause), kMet);
  clause.match.min_key_bits = 384;
  clause.match.subject.push_back(
      {*certs::ParseAttribute("OU"), *certs::TextMatcher::Create(certs::TextMatcher::Kind::kExact, "Billing")});
  clause.match.san_dns = {".example"};
  EXPECT_EQ(Of(clause), kMet);
  clause.extended_key_usages = {*ParseUsage("serverAuth"), *ParseUsage("1.3.6.1.5.5.7.3.2")};
  EXPECT_EQ(Of(clause), kMet);
  clause.valid_for = absl::Hours(240);
  EXPECT_EQ(Of(clause), kMet);

  // Each of them alone stands against it.
  const std::vector<std::function<void(CertificateClause*)>> spoilers = {
      [](auto* c) { c->serials = {"ABC"}; },
      [](auto* c) { c->sha1_thumbprints = {std::string(40, 'A')}; },
      [](auto* c) { c->key_types = {certs::KeyFamily::kEd25519}; },
      [](auto* c) { c->match.min_key_bits = 521; },
      [](auto* c) { c->match.san_dns = {"b.example"}; },
      [](auto* c) { c->extended_key_usages.push_back(*ParseUsage("codeSigning")); },
      [](auto* c) { c->valid_for = absl::Hours(241); },
      [](auto* c) { c->scheme = "Other"; },
  };
  for (size_t i = 0; i < spoilers.size(); ++i) {
    CertificateClause spoiled = clause;
    spoilers[i](&spoiled);
    EXPECT_EQ(Of(spoiled), kNotMet) << i;
    EXPECT_THAT(Evidence(spoiled, {*caller_, {}, Now()}), Not(HasSubstr("\n"))) << i;
  }
}

TEST_F(CertificateClauseTest, BelievesWhoHoldsAPinnedKeyNothingThatHeWroteHimself) {
  const IdentityRef holder = CertificateIdentity(leaf_, {}, {.scheme = "Certificate"}, /*pinned=*/true, false, /*by_key=*/true);
  const std::string key = absl::StrCat("spki-sha256:", HexLower(AsView(leaf_->spki_sha256())));
  EXPECT_EQ(holder->principal(), key);
  std::vector<std::string> types;
  holder->ForEachClaim([&](const Claim& claim) {
    types.push_back(claim.type);
    EXPECT_EQ(claim.issuer, key);
  });
  EXPECT_THAT(types, ElementsAre(kNameIdentifier, kName, "thumbprint", "thumbprint_sha256"));
  EXPECT_EQ(*XfccValue(*holder->certificate(), {}), absl::StrCat("Hash=", HexLower(AsView(leaf_->sha256()))));

  const auto of = [&](const CertificateClause& clause) { return Check(clause, {*holder, {}, Now()}); };
  CertificateClause clause;
  clause.key_types = {certs::KeyFamily::kEc};
  clause.match.min_key_bits = 384;
  clause.thumbprints = {leaf_->sha256()};
  EXPECT_EQ(of(clause), kMet);
  const std::vector<std::function<void(CertificateClause*)>> words = {
      [](auto* c) { c->serials = {"1"}; },
      [](auto* c) { c->match.san_dns = {"a.example"}; },
      [](auto* c) { c->match.issuer.push_back(*certs::TextMatcher::Create(certs::TextMatcher::Kind::kExact, "CN=Root")); },
      [](auto* c) { c->extended_key_usages = {*ParseUsage("serverAuth")}; },
      [](auto* c) { c->valid_for = absl::Hours(1); },
  };
  for (size_t i = 0; i < words.size(); ++i) {
    CertificateClause asks;
    words[i](&asks);
    EXPECT_EQ(of(asks), kUnknown) << i << ": negated it would not hold either";
    EXPECT_THAT(Evidence(asks, {*holder, {}, Now()}), HasSubstr("holder's own word")) << i;
  }
}

TEST_F(CertificateClauseTest, CountsNoCertificateThatNoSchemeAccepted) {
  const IdentityRef user = BasicIdentity({.name = "ann"}, "Basic", "people");
  EXPECT_EQ(Check(CertificateClause(), {*user, {}, Now()}), kNotMet);
  EXPECT_EQ(Evidence(CertificateClause(), {*user, {}, Now()}), "no certificate was accepted");
  const IdentityRef both = Identity::Merge({user, caller_});
  EXPECT_EQ(Check(CertificateClause(), {*both, {}, Now()}), kMet);
}

TEST_F(CertificateClauseTest, CannotTellHowLongItIsValidWithoutTheTime) {
  CertificateClause clause;
  clause.valid_for = absl::Hours(1);
  EXPECT_EQ(Check(clause, {*caller_}), kUnknown);
  clause.match.min_key_bits = 521;
  EXPECT_EQ(Check(clause, {*caller_}), kNotMet) << "what is known decides";
}

TEST(ParseTest, ReadsSerialsThumbprintsAndUsages) {
  EXPECT_EQ(*ParseSerial("0a:FF"), "AFF");
  EXPECT_EQ(*ParseSerial("00"), "");
  CertificateClause clause;
  for (absl::string_view bad : {"", "xyz", "12 34", "0x12"}) EXPECT_FALSE(ParseSerial(bad).ok()) << bad;
  for (absl::string_view bad : {"", "AB", "zz", "0123456789012345678901234567890123456789x"}) {
    EXPECT_FALSE(AddThumbprint(bad, &clause).ok()) << bad;
  }
  EXPECT_EQ(*ParseUsage("clientAuth"), "1.3.6.1.5.5.7.3.2");
  for (absl::string_view bad : {"", "ClientAuth", "1", "1.2.x"}) EXPECT_FALSE(ParseUsage(bad).ok()) << bad;
}

// ---- address ----------------------------------------------------------------------------------------------------------

TEST(AddressClauseTest, ComparesIpv4OverIpv6AsIpv4) {
  AddressClause inside;
  inside.ranges = {*ParseClientRange("10.0.0.0/8"), *ParseClientRange("2001:db8::/32")};
  const IdentityRef nobody = Identity::Merge({});
  const auto of = [&](std::vector<uint8_t> address) { return Check(inside, {*nobody, address}); };
  EXPECT_EQ(of({10, 1, 2, 3}), kMet);
  EXPECT_EQ(of({11, 1, 2, 3}), kNotMet);
  EXPECT_EQ(of({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 1, 2, 3}), kMet);
  EXPECT_EQ(of({0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}), kMet);
  EXPECT_EQ(of({0x20, 2, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}), kNotMet);
  EXPECT_EQ(of({}), kUnknown) << "a socket that is no IP socket";
  AddressClause every6;
  every6.ranges = {*ParseClientRange("::/0")};
  EXPECT_EQ(Check(every6, {*nobody, std::vector<uint8_t>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 1, 2, 3}}), kNotMet);
  EXPECT_EQ(*ParseAddress("10.1.2.3"), (std::vector<uint8_t>{10, 1, 2, 3}));
  EXPECT_EQ(ParseAddress("2001:db8::1")->size(), 16u);
  for (absl::string_view bad : {"", "10.0.0.0/32", "localhost", "10.1.2.3:80"}) EXPECT_FALSE(ParseAddress(bad).ok()) << bad;
  EXPECT_FALSE(ParseClientRange("::ffff:10.0.0.0/104").ok());
  EXPECT_FALSE(ParseClientRange("10.0.0.1/8").ok());
}

// ---- time -------------------------------------------------------------------------------------------------------------

TimeClause Berlin(absl::string_view from, absl::string_view to, std::vector<absl::Weekday> days = {}) {
  TimeClause clause;
  clause.days = std::move(days);
  if (!from.empty()) clause.from = *ParseTimeOfDay(from, false), clause.to = *ParseTimeOfDay(to, true);
  clause.zone_name = "Europe/Berlin";
  clause.zone = *ParseTimeZone("Europe/Berlin");
  return clause;
}
Outcome At(const TimeClause& clause, absl::string_view utc) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, std::string(utc), &time, &error)) << error;
  const IdentityRef nobody = Identity::Merge({});
  return Check(clause, {*nobody, {}, time});
}

TEST(TimeClauseTest, OpensAndClosesByTheWallClockOfItsZone) {
  const TimeClause office = Berlin("08:00", "17:30", {absl::Weekday::monday, absl::Weekday::tuesday, absl::Weekday::wednesday,
                                                      absl::Weekday::thursday, absl::Weekday::friday});
  EXPECT_EQ(At(office, "2026-01-07T07:00:00Z"), kMet) << "08:00 on a Wednesday in winter";
  EXPECT_EQ(At(office, "2026-01-07T06:59:59.999Z"), kNotMet);
  EXPECT_EQ(At(office, "2026-01-07T16:29:59Z"), kMet);
  EXPECT_EQ(At(office, "2026-01-07T16:30:00Z"), kNotMet) << "the closing moment is outside";
  EXPECT_EQ(At(office, "2026-01-10T11:00:00Z"), kNotMet) << "Saturday";
  EXPECT_EQ(At(office, "2026-07-01T06:00:00Z"), kMet) << "08:00 in summer";
  const IdentityRef nobody = Identity::Merge({});
  EXPECT_EQ(Check(office, {*nobody}), kUnknown);
}

TEST(TimeClauseTest, ClosesOnTheDayAfterWhenItRunsOverMidnight) {
  const TimeClause night = Berlin("22:00", "06:00", {absl::Weekday::friday});
  EXPECT_EQ(At(night, "2026-01-09T20:59:59Z"), kNotMet);
  EXPECT_EQ(At(night, "2026-01-09T21:00:00Z"), kMet) << "Friday 22:00";
  EXPECT_EQ(At(night, "2026-01-10T04:59:59Z"), kMet) << "Saturday 05:59:59";
  EXPECT_EQ(At(night, "2026-01-10T05:00:00Z"), kNotMet);
  EXPECT_EQ(At(night, "2026-01-10T21:30:00Z"), kNotMet) << "Saturday's does not open";
  EXPECT_EQ(At(night, "2026-01-09T03:00:00Z"), kNotMet) << "Thursday's did not open";
  const TimeClause late = Berlin("20:00", "24:00");
  EXPECT_EQ(At(late, "2026-01-09T22:59:59Z"), kMet);
  EXPECT_EQ(At(late, "2026-01-09T23:00:00Z"), kNotMet);
}

TEST(TimeClauseTest, GoesByTheClockWhenItIsPutForwardAndBack) {
  // 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
  const TimeClause skipped = Berlin("02:15", "02:45");
  EXPECT_EQ(At(skipped, "2026-03-29T00:59:59Z"), kNotMet);
  EXPECT_EQ(At(skipped, "2026-03-29T01:00:00Z"), kNotMet) << "03:00 already";
  EXPECT_EQ(At(skipped, "2026-03-30T00:30:00Z"), kMet);
  EXPECT_EQ(At(skipped, "2026-10-25T00:30:00Z"), kMet) << "02:30 in summer time";
  EXPECT_EQ(At(skipped, "2026-10-25T01:30:00Z"), kMet) << "02:30 again";
  EXPECT_EQ(At(skipped, "2026-10-25T01:00:00Z"), kNotMet) << "02:00, the second time";
  const TimeClause long_one = Berlin("01:30", "03:30");
  EXPECT_EQ(At(long_one, "2026-03-29T01:29:59Z"), kMet) << "03:29:59";
  EXPECT_EQ(At(long_one, "2026-03-29T01:30:00Z"), kNotMet);
}

TEST(TimeClauseTest, HoldsBetweenTwoMomentsBothIncluded) {
  TimeClause clause;
  clause.not_before = absl::FromUnixSeconds(1'000'000'000);
  clause.not_after = absl::FromUnixSeconds(1'000'000'010);
  EXPECT_EQ(At(clause, "2001-09-09T01:46:39.999Z"), kNotMet);
  EXPECT_EQ(At(clause, "2001-09-09T01:46:40Z"), kMet);
  EXPECT_EQ(At(clause, "2001-09-09T01:46:50Z"), kMet);
  EXPECT_EQ(At(clause, "2001-09-09T01:46:50.001Z"), kNotMet);
  clause.days = {absl::Weekday::monday};
  EXPECT_EQ(At(clause, "2001-09-09T01:46:45Z"), kNotMet) << "a Sunday";
}

TEST(ParseTest, ReadsTimesOfDayAndZonesAndNothingElse) {
  EXPECT_EQ(*ParseTimeOfDay("08:30", false), 8 * 3600 + 30 * 60);
  EXPECT_EQ(*ParseTimeOfDay("23:59:59", false), 86'399);
  EXPECT_EQ(*ParseTimeOfDay("24:00", true), 86'400);
  for (absl::string_view bad : {"", "8:00", "08", "24:00", "08:60", "08:00:60", "-1:00", "08:00 ", "+8:00", "08:00:00:00"}) {
    EXPECT_FALSE(ParseTimeOfDay(bad, false).ok()) << bad;
  }
  EXPECT_FALSE(ParseTimeOfDay("24:01", true).ok());
  for (absl::string_view good : {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"}) {
    EXPECT_TRUE(ParseTimeZone(good).ok()) << good;
  }
  for (absl::string_view bad : {"", "Europe/Atlantis", "/etc/localtime", "localtime", "../../etc/passwd", "file:x", "Fixed/UTC+05:00:00",
                                "Europe/../UTC", "posix/UTC", "Europe", "UTC "}) {
    EXPECT_FALSE(ParseTimeZone(bad).ok()) << bad;
  }
}

// ---- trees ------------------------------------------------------------------------------------------------------------

// A clause whose outcome is known beforehand: of the group claim of Caller({"a", "\xff"}).
Condition Leaf(Outcome outcome) {
  ClaimClause clause{.type = "group", .match = MatchKind::kExact, .value = outcome == kMet ? "a" : "b"};
  if (outcome == kUnknown) clause.match = MatchKind::kRegex, clause.value = "c";
  return {.claim = clause};
}
Condition Tree(ConditionKind kind, std::vector<Condition> children) { return {.kind = kind, .children = std::move(children)}; }

TEST(PolicyTreeTest, ANegationNeverHoldsByWhatCannotBeTold) {
  const IdentityRef caller = Caller({"a", "\xff"});
  const auto of = [&](const Condition& condition) {
    return Policy::Create({"p", condition, ""}, nullptr)->Check({*caller});
  };
  const std::vector<Outcome> all = {kNotMet, kUnknown, kMet};
  for (Outcome x : all) {
    ASSERT_EQ(of(Leaf(x)), x);
    EXPECT_EQ(of(Tree(ConditionKind::kNoneOf, {Leaf(x)})), identity::Not(x));
    EXPECT_EQ(of(Tree(ConditionKind::kNoneOf, {Tree(ConditionKind::kNoneOf, {Leaf(x)})})), x);
    for (Outcome y : all) {
      EXPECT_EQ(of(Tree(ConditionKind::kAllOf, {Leaf(x), Leaf(y)})), std::min(x, y));
      EXPECT_EQ(of(Tree(ConditionKind::kAnyOf, {Leaf(x), Leaf(y)})), std::max(x, y));
      EXPECT_EQ(of(Tree(ConditionKind::kNoneOf, {Leaf(x), Leaf(y)})), identity::Not(std::max(x, y)));
    }
  }
  EXPECT_FALSE(Policy::Create({"p", Leaf(kUnknown), ""}, nullptr)->Holds({*caller}));
  EXPECT_FALSE(Policy::Create({"p", Tree(ConditionKind::kNoneOf, {Leaf(kUnknown)}), ""}, nullptr)->Holds({*caller}));
}

TEST(PolicyTreeTest, SaysWhichClauseWasNotMetAndNoneOfTheCallersValues) {
  const IdentityRef caller = Caller({"a", "\xff"});
  const PolicyRef inner = Policy::Create({"inner", Tree(ConditionKind::kAllOf, {Leaf(kMet), Leaf(kNotMet)}), ""}, nullptr);
  Condition reference{.kind = ConditionKind::kPolicy, .policy = inner};
  const auto why = [&](Condition condition) {
    return Policy::Create({"p", std::move(condition), ""}, nullptr)->Unmet({*caller});
  };
  EXPECT_EQ(why(Leaf(kNotMet)), "p: condition.claim (claim group is \"b\") does not hold");
  EXPECT_EQ(why(Leaf(kUnknown)), "p: condition.claim (claim group matches \"c\") cannot be told");
  EXPECT_EQ(why(Tree(ConditionKind::kAllOf, {Leaf(kMet), reference})),
            "p: condition.all_of[1].policy inner: condition.all_of[1].claim (claim group is \"b\") does not hold");
  EXPECT_EQ(why(Tree(ConditionKind::kAnyOf, {Leaf(kNotMet), Leaf(kNotMet)})), "p: condition.any_of: none of 2 holds");
  EXPECT_EQ(why(Tree(ConditionKind::kNoneOf, {Leaf(kNotMet), Leaf(kMet)})),
            "p: condition.none_of[1].claim (claim group is \"a\") holds");
}

TEST(PolicyTreeTest, ExplainsEveryNodeAndThoseOfPoliciesItRefersTo) {
  const IdentityRef caller = Caller({"a", "x", "y", "z"});
  const PolicyRef inner = Policy::Create({"inner", Leaf(kMet), ""}, nullptr);
  const PolicyRef outer = Policy::Create(
      {"outer", Tree(ConditionKind::kAllOf, {{.kind = ConditionKind::kPolicy, .policy = inner}, Leaf(kNotMet)}), ""}, nullptr);
  std::vector<PolicyStep> steps;
  EXPECT_EQ(outer->Explain({*caller}, 100, &steps), 4u);
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_EQ(steps[0].words, "all of");
  EXPECT_EQ(steps[0].outcome, kNotMet);
  EXPECT_EQ(steps[1].words, "policy inner");
  EXPECT_EQ(steps[2].policy, "inner");
  EXPECT_EQ(steps[2].path, "condition.claim");
  EXPECT_EQ(steps[2].depth, 2);
  EXPECT_EQ(steps[2].evidence, "\"a\", \"x\", \"y\" and 1 more");
  EXPECT_EQ(steps[3].path, "condition.all_of[1].claim");
  EXPECT_EQ(steps[3].outcome, kNotMet);
  steps.clear();
  EXPECT_EQ(outer->Explain({*caller}, 2, &steps), 4u);
  EXPECT_EQ(steps.size(), 2u);
}

TEST(PolicyTreeTest, IsBoundedWithWhatItRefersTo) {
  PolicyRef deep = Policy::Create({"p0", Leaf(kMet), ""}, nullptr);
  for (int i = 1; i < 16; ++i) {
    deep = Policy::Create({absl::StrCat("p", i), {.kind = ConditionKind::kPolicy, .policy = deep}, ""}, nullptr);
    ASSERT_NE(deep, nullptr) << i;
  }
  std::vector<PolicyError> errors;
  EXPECT_EQ(Policy::Create({"p16", {.kind = ConditionKind::kPolicy, .policy = deep}, ""}, &errors), nullptr);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].path, "condition.policy");
  // Ten times itself, again and again.
  PolicyRef wide = Policy::Create({"w0", Leaf(kMet), ""}, nullptr);
  for (int i = 1; wide != nullptr && i < 6; ++i) {
    errors.clear();
    std::vector<Condition> ten(10, Condition{.kind = ConditionKind::kPolicy, .policy = wide});
    wide = Policy::Create({absl::StrCat("w", i), Tree(ConditionKind::kAllOf, std::move(ten)), ""}, &errors);
  }
  EXPECT_EQ(wide, nullptr);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_THAT(errors[0].message, HasSubstr("10000 nodes"));
  std::vector<Condition> expressions(65, Leaf(kUnknown));
  errors.clear();
  EXPECT_EQ(Policy::Create({"r", Tree(ConditionKind::kAnyOf, std::move(expressions)), ""}, &errors), nullptr);
  EXPECT_THAT(errors[0].message, HasSubstr("64 regular expressions"));
}

// Each takes up to a MiB, and some milliseconds.
TEST(PolicyTreeTest, ExpressionsBeyondTheMostAreNotCompiled) {
  std::vector<Condition> some;
  for (int i = 0; i < 3; ++i) {
    Condition& one = some.emplace_back();
    one.claim.type = "a";
    one.claim.matches.assign(33, {MatchKind::kRegex, i == 2 ? "(" : "a"});
  }
  std::vector<PolicyError> errors;
  EXPECT_EQ(Policy::Create({"r", Tree(ConditionKind::kAnyOf, std::move(some)), ""}, &errors), nullptr);
  ASSERT_EQ(errors.size(), 1u) << "nobody looked at the last ones";
  EXPECT_THAT(errors[0].message, HasSubstr("64 regular expressions"));
}

TEST(PolicyTreeTest, HasAnEpochOfAllThatItRefersTo) {
  const auto outer = [](const PolicyRef& inner) {
    return Policy::Create({"p", {.kind = ConditionKind::kPolicy, .policy = inner}, ""}, nullptr)->epoch();
  };
  const auto inner = [](Outcome outcome) { return Policy::Create({"inner", Leaf(outcome), ""}, nullptr); };
  EXPECT_EQ(outer(inner(kMet)), outer(inner(kMet)));
  EXPECT_NE(outer(inner(kMet)), outer(inner(kNotMet)));
  const auto time = [](const TimeClause& clause) {
    return Policy::Create({"t", {.kind = ConditionKind::kTime, .time = clause}, ""}, nullptr)->epoch();
  };
  EXPECT_EQ(time(Berlin("08:00", "09:00")), time(Berlin("08:00", "09:00")));
  EXPECT_NE(time(Berlin("08:00", "09:00")), time(Berlin("08:00", "09:01")));
  EXPECT_NE(time(Berlin("08:00", "09:00")), time(Berlin("08:00", "09:00", {absl::Weekday::monday})));
}

}  // namespace
}  // namespace gatehouse::identity
