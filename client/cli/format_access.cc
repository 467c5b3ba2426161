// Policies and access, in words.
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/format.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

constexpr size_t kOutcome = 9;  // columns: NOT MET and two spaces
constexpr size_t kReason = 24;

std::string Word(v1::PolicyOutcome outcome) {
  return absl::StrReplaceAll(v1::PolicyOutcome_Name(outcome), {{"_", " "}});
}

std::string Coloured(v1::PolicyOutcome outcome, const std::string& text, const Style& style) {
  return outcome == v1::MET ? style.Green(text) : outcome == v1::NOT_MET ? style.Red(text) : style.Yellow(text);
}

void Line(absl::string_view label, absl::string_view text, std::string* out) {
  absl::StrAppend(out, Padded(label, kExplainIndent), text, "\n");
}

}  // namespace

std::string VerdictText(const v1::PolicyVerdict& verdict, const Style& style) {
  std::string out;
  Line("policy", absl::StrCat(style.Bold(EscapeText(verdict.policy())), "   ",
                              Coloured(verdict.outcome(), Word(verdict.outcome()), style)),
       &out);
  for (const v1::PolicyStep& step : verdict.steps()) {
    absl::StrAppend(&out, "  ", Coloured(step.outcome(), Padded(Word(step.outcome()), kOutcome), style),
                    std::string(size_t{2} * step.depth(), ' '), EscapeText(step.text()), step.evidence().empty() ? "" : "   ",
                    step.evidence().empty() ? "" : style.Dim(EscapeText(step.evidence())), "\n");
  }
  if (verdict.left_out() > 0) absl::StrAppend(&out, "  and ", verdict.left_out(), " more\n");
  return out;
}

std::string AccessText(const v1::AccessVerdict& access, const Style& style) {
  std::string out;
  std::vector<std::string> schemes;
  for (const v1::SchemeAnswer& answer : access.schemes()) schemes.push_back(EscapeText(answer.scheme()));
  Line("route", absl::StrCat(style.Bold(EscapeText(access.route())), "   ", EscapeText(access.require()), " ",
                             absl::StrJoin(schemes, ", ")),
       &out);
  for (const v1::SchemeAnswer& answer : access.schemes()) {
    const std::string word = !answer.asked()    ? "not asked"
                             : answer.accepted() ? "accepted"
                                                 : v1::Reason_Name(answer.reason());
    const std::string column = Padded(word, kReason);
    std::string text = !answer.asked() ? style.Dim(column) : answer.accepted() ? style.Green(column) : style.Red(column);
    absl::StrAppend(&text, EscapeText(answer.detail()));
    Line(absl::StrCat("  ", EscapeText(answer.scheme())), absl::StripTrailingAsciiWhitespace(text), &out);
  }
  if (!access.principal().empty()) Line("known as", EscapeText(access.principal()), &out);
  bool first = true;
  for (const v1::ExplainedClaim& claim : access.claims()) {
    Line(first ? "claims" : "", absl::StrCat(EscapeText(claim.type()), " = ", EscapeText(claim.value()), "   ",
                                             style.Dim(EscapeText(claim.scheme()))),
         &out);
    first = false;
  }
  for (const v1::PolicyVerdict& policy : access.policies()) absl::StrAppend(&out, VerdictText(policy, style));
  return out;
}

std::string AccessVerdictText(const v1::AccessVerdict& access, const Style& style) {
  if (access.status() == 200) {
    return absl::StrCat(style.Green("LET IN"),
                        access.if_password_right() ? ", if the password is right and the user is not locked out" : "");
  }
  std::string text = style.Red(absl::StrCat("REFUSED, ", access.status(), " ", v1::Reason_Name(access.reason())));
  for (const v1::PolicyVerdict& policy : access.policies()) {
    if (policy.outcome() == v1::MET) continue;
    absl::StrAppend(&text, ": policy ", EscapeText(policy.policy()),
                    policy.outcome() == v1::UNKNOWN ? " cannot be told" : " is not met");
    break;
  }
  return text;
}

}  // namespace gatehouse::cli
