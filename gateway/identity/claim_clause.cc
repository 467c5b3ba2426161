// Claims.
#include <re2/re2.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/identity/claims.h"
#include "gateway/identity/clause.h"

namespace gatehouse::identity {
namespace {

constexpr size_t kMaxText = 4096;
constexpr size_t kMaxOneOf = 1000;
constexpr size_t kMaxMatches = 100;
constexpr int64_t kMaxRegexMemory = 1 << 20;
constexpr size_t kShown = 3;  // values in an explanation
constexpr size_t kShownBytes = 64;

std::string Quoted(absl::string_view text) {
  return text.size() > kShownBytes ? absl::StrCat("\"", EscapeText(text.substr(0, kShownBytes)), "…\"")
                                   : absl::StrCat("\"", EscapeText(text), "\"");
}

absl::string_view FieldOf(MatchKind kind) {
  switch (kind) {
    case MatchKind::kExact: return "exact";
    case MatchKind::kPrefix: return "prefix";
    case MatchKind::kSuffix: return "suffix";
    case MatchKind::kRegex: return "regex";
    case MatchKind::kPresent: return "present";
  }
  return "";
}

std::string WordsOf(const TextTest& test) {
  switch (test.kind) {
    case MatchKind::kExact: return absl::StrCat("is ", Quoted(test.value));
    case MatchKind::kPrefix: return absl::StrCat("begins with ", Quoted(test.value));
    case MatchKind::kSuffix: return absl::StrCat("ends with ", Quoted(test.value));
    case MatchKind::kRegex: return absl::StrCat("matches ", Quoted(test.value));
    case MatchKind::kPresent: return "is there";
  }
  return "";
}

bool Same(absl::string_view a, absl::string_view b, bool ignore_case) {
  return ignore_case ? absl::EqualsIgnoreCase(a, b) : a == b;
}

}  // namespace

ClaimTest::ClaimTest() = default;
ClaimTest::ClaimTest(ClaimTest&&) noexcept = default;
ClaimTest& ClaimTest::operator=(ClaimTest&&) noexcept = default;
ClaimTest::~ClaimTest() = default;

ClaimTest ClaimTest::Create(ClaimClause clause, std::vector<std::pair<std::string, std::string>>* errors) {
  const auto wrong = [errors](std::string field, std::string message) {
    errors->emplace_back(std::move(field), std::move(message));
  };
  ClaimTest test;
  if (clause.type.empty()) wrong("type", "is required");
  clause.type = std::string(ClaimType(clause.type));
  if (clause.one_of.size() > kMaxOneOf) wrong("one_of", absl::StrCat("at most ", kMaxOneOf, " values"));
  if (clause.matches.size() > kMaxMatches) wrong("matches", absl::StrCat("at most ", kMaxMatches));
  std::vector<std::pair<std::string, TextTest>> all;
  if (clause.one_of.empty() && clause.matches.empty()) {
    all.emplace_back(std::string(FieldOf(clause.match)), TextTest{clause.match, clause.value});
  }
  for (size_t i = 0; i < clause.matches.size(); ++i) {
    all.emplace_back(absl::StrCat("matches[", i, "].", FieldOf(clause.matches[i].kind)), clause.matches[i]);
  }
  for (size_t i = 0; i < clause.one_of.size(); ++i) {
    if (clause.one_of[i].size() > kMaxText) {
      wrong(absl::StrCat("one_of[", i, "]"), absl::StrCat("must be at most ", kMaxText, " bytes"));
    }
    test.exact_.insert(clause.ignore_case ? absl::AsciiStrToLower(clause.one_of[i]) : clause.one_of[i]);
  }
  for (auto& [field, one] : all) {
    if (one.value.size() > kMaxText) {
      wrong(field, absl::StrCat("must be at most ", kMaxText, " bytes"));
      continue;
    }
    if ((one.kind == MatchKind::kPrefix || one.kind == MatchKind::kSuffix) && one.value.empty()) {
      wrong(field, "an empty prefix or suffix matches everything: use `present`");
    }
    if (one.kind != MatchKind::kRegex) {
      test.tests_.push_back(std::move(one));
      continue;
    }
    if (clause.ignore_case) wrong("ignore_case", "is not for regular expressions: write (?i) in the expression");
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kMaxRegexMemory);
    auto regex = std::make_unique<re2::RE2>(one.value, options);
    if (!regex->ok()) wrong(field, absl::StrCat("is not valid RE2: ", EscapeText(regex->error())));
    test.regexes_.push_back(std::move(regex));
  }
  test.clause_ = std::move(clause);
  return test;
}

bool ClaimTest::Counts(const Claim& claim) const {
  return claim.type == clause_.type && (clause_.scheme.empty() || claim.scheme == clause_.scheme) &&
         (clause_.issuer.empty() || claim.issuer == clause_.issuer);
}

Outcome ClaimTest::Matches(absl::string_view value) const {
  if (!exact_.empty()) {
    const bool there = clause_.ignore_case ? exact_.contains(absl::AsciiStrToLower(value)) : exact_.contains(value);
    if (there) return Outcome::kMet;
  }
  for (const TextTest& test : tests_) {
    bool matched = false;
    switch (test.kind) {
      case MatchKind::kExact:
        matched = Same(value, test.value, clause_.ignore_case);
        break;
      case MatchKind::kPrefix:
        matched = value.size() >= test.value.size() &&
                  Same(value.substr(0, test.value.size()), test.value, clause_.ignore_case);
        break;
      case MatchKind::kSuffix:
        matched = value.size() >= test.value.size() &&
                  Same(value.substr(value.size() - test.value.size()), test.value, clause_.ignore_case);
        break;
      case MatchKind::kPresent:
        matched = true;
        break;
      case MatchKind::kRegex:
        break;
    }
    if (matched) return Outcome::kMet;
  }
  if (regexes_.empty()) return Outcome::kNotMet;
  // RE2 finds no characters in what is not UTF-8: that it does not match would say nothing.
  if (value.size() > kMaxRegexValue || !IsValidUtf8(value)) return Outcome::kUnknown;
  const re2::StringPiece text(value.data(), value.size());
  for (const std::unique_ptr<re2::RE2>& regex : regexes_) {
    if (re2::RE2::FullMatch(text, *regex)) return Outcome::kMet;
  }
  return Outcome::kNotMet;
}

Outcome ClaimTest::Check(const Facts& facts) const {
  Outcome any = Outcome::kNotMet, all = Outcome::kMet;
  size_t values = 0;
  const bool every = clause_.values == Quantifier::kAll;
  for (const PartRef& part : facts.identity.parts()) {
    for (const Claim& claim : part->claims) {
      if (!Counts(claim)) continue;
      if (++values > kMaxValues) {
        any = std::max(any, Outcome::kUnknown);
        all = std::min(all, Outcome::kUnknown);
        break;
      }
      const Outcome one = Matches(claim.value);
      any = std::max(any, one);
      all = std::min(all, one);
      if (every ? all == Outcome::kNotMet : any == Outcome::kMet) break;
    }
  }
  switch (clause_.values) {
    case Quantifier::kAny: return any;
    case Quantifier::kAll: return values == 0 ? Outcome::kNotMet : all;
    case Quantifier::kNone: return Not(any);
  }
  return Outcome::kUnknown;
}

std::string ClaimTest::Words() const {
  std::vector<std::string> ways;
  if (!clause_.one_of.empty()) {
    std::vector<std::string> some;
    for (const std::string& one : clause_.one_of) {
      if (some.size() == kShown) break;
      some.push_back(Quoted(one));
    }
    if (clause_.one_of.size() > kShown) some.push_back(absl::StrCat(clause_.one_of.size() - kShown, " more"));
    ways.push_back(absl::StrCat("is one of ", absl::StrJoin(some, ", ")));
  }
  for (const TextTest& one : clause_.matches) ways.push_back(WordsOf(one));
  if (ways.empty()) ways.push_back(WordsOf({clause_.match, clause_.value}));
  if (ways.size() > kShown) {
    const size_t more = ways.size() - kShown;
    ways.resize(kShown);
    ways.push_back(absl::StrCat("in one of ", more, " more ways"));
  }
  std::string type(clause_.type);
  if (type == kName) type = "name";
  if (type == kNameIdentifier) type = "nameidentifier";
  return absl::StrCat(
      clause_.values == Quantifier::kAll    ? "every claim "
      : clause_.values == Quantifier::kNone ? "no claim "
                                            : "claim ",
      EscapeText(type), clause_.scheme.empty() ? "" : absl::StrCat(" of scheme ", EscapeText(clause_.scheme)),
      clause_.issuer.empty() ? "" : absl::StrCat(" issued by ", EscapeText(clause_.issuer)), " ",
      absl::StrJoin(ways, " or "), clause_.ignore_case ? ", in any case" : "");
}

std::string ClaimTest::Evidence(const Facts& facts) const {
  std::vector<std::string> some;
  size_t values = 0, others = 0;
  facts.identity.ForEachClaim([&](const Claim& claim) {
    if (claim.type != clause_.type) return;
    if (!Counts(claim)) {
      ++others;
    } else if (++values <= kShown) {
      some.push_back(Quoted(claim.value));
    }
  });
  std::string text = values == 0 ? "no such claim" : absl::StrJoin(some, ", ");
  if (values > kShown) absl::StrAppend(&text, " and ", values - kShown, " more");
  if (values > kMaxValues) absl::StrAppend(&text, "; more than ", kMaxValues, " are not looked at");
  if (others > 0) absl::StrAppend(&text, "; ", others, " of another scheme or issuer, not counted");
  return text;
}

void ClaimTest::AppendContent(std::string* content) const {
  for (absl::string_view text : {absl::string_view(clause_.type), absl::string_view(clause_.scheme),
                                 absl::string_view(clause_.issuer), absl::string_view(clause_.value)}) {
    AppendField(content, text);
  }
  AppendField(content, static_cast<uint64_t>(clause_.match));
  AppendField(content, static_cast<uint64_t>(clause_.values) * 2 + uint64_t{clause_.ignore_case});
  AppendField(content, clause_.one_of.size());
  for (const std::string& one : clause_.one_of) AppendField(content, one);
  AppendField(content, clause_.matches.size());
  for (const TextTest& one : clause_.matches) {
    AppendField(content, static_cast<uint64_t>(one.kind));
    AppendField(content, one.value);
  }
}

}  // namespace gatehouse::identity
