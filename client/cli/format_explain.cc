#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string StepsText(const v1::SchemeVerdict& verdict, const Style& style) {
  std::string text;
  int64_t candidate = -1;
  bool several = false;
  for (const v1::ExplainStep& step : verdict.steps()) several = several || step.candidate() > 0;
  for (const v1::ExplainStep& step : verdict.steps()) {
    if (several && step.candidate() != candidate) {
      candidate = step.candidate();
      absl::StrAppend(&text, "  candidate path ", candidate + 1, "\n");
    }
    std::string result = step.ok() ? style.Green("ok") : style.Red(v1::Reason_Name(step.reason()));
    std::string pad(step.ok() ? 14 : 0, ' ');
    absl::StrAppend(&text, "  ", Padded(EscapeText(step.step()), 12), " ", result, pad);
    if (!step.certificate().empty()) absl::StrAppend(&text, "  ", EscapeText(step.certificate()));
    if (!step.detail().empty()) absl::StrAppend(&text, "  ", EscapeText(step.detail()));
    text += "\n";
  }
  return text;
}

}  // namespace

std::string ExpiryText(absl::Time not_after, absl::Time now) {
  int64_t seconds = absl::ToInt64Seconds(not_after - now);
  const char* format = seconds >= 0 ? "expires in " : "expired ";
  const char* end = seconds >= 0 ? "" : " ago";
  seconds = std::llabs(seconds);
  std::string amount;
  if (seconds >= 86400) {
    std::string days = absl::StrCat(seconds / 86400);
    // 1,820 d
    for (size_t at = days.size(); at > 3; at -= 3) days.insert(at - 3, ",");
    amount = absl::StrCat(days, " d");
  } else if (seconds >= 3600) {
    amount = absl::StrCat(seconds / 3600, " h");
  } else {
    amount = absl::StrCat(seconds / 60, " min");
  }
  return absl::StrCat(format, amount, end);
}

std::string ShortDigest(absl::string_view hex, size_t octets) {
  std::vector<std::string> pairs;
  for (size_t i = 0; i + 1 < hex.size() && pairs.size() < octets; i += 2) {
    pairs.push_back(EscapeText(hex.substr(i, 2)));
  }
  return absl::StrCat(absl::StrJoin(pairs, ":"), hex.size() > octets * 2 ? ":…" : "");
}

std::string ExplainText(const v1::ExplainRequest& request, const v1::ExplainResponse& response, absl::Time now,
                        const Style& style) {
  const v1::CertificateFacts& facts = response.certificate();
  std::string text = absl::StrCat(
      style.Bold("Certificate"), "    ", EscapeText(facts.subject()), "   issued by ", EscapeText(facts.issuer()),
      "\n               SHA-256 ", ShortDigest(facts.sha256(), 8), "   ",
      facts.has_not_after() ? ExpiryText(TimeOf(facts.not_after()), now) : "", "\n");
  bool accepted = false;
  std::string reason;
  for (const v1::SchemeVerdict& verdict : response.verdicts()) {
    absl::StrAppend(&text, style.Bold(absl::StrCat("Scheme ", EscapeText(verdict.scheme()))), "\n",
                    StepsText(verdict, style));
    if (!verdict.path().empty()) {
      std::vector<std::string> path;
      for (const std::string& subject : verdict.path()) path.push_back(EscapeText(subject));
      path[0] = "leaf";
      absl::StrAppend(&text, "  accepted by ", absl::StrJoin(path, " <- "), "\n");
    }
    for (const v1::ExplainedClaim& claim : verdict.claims()) {
      absl::StrAppend(&text, "  claim       ", EscapeText(claim.type()), " = ", EscapeText(claim.value()), "\n");
    }
    if (verdict.accepted()) accepted = true;
    if (!verdict.accepted() && reason.empty()) reason = v1::Reason_Name(verdict.reason());
  }
  if (!response.opens().empty()) {
    std::vector<std::string> routes;
    for (const std::string& route : response.opens()) routes.push_back(EscapeText(route));
    absl::StrAppend(&text, "opens          ", absl::StrJoin(routes, ", "), "\n");
  }
  text += "verdict: ";
  if (response.verdicts().empty()) {
    text += "nothing was judged: no client certificate scheme is asked here";
  } else if (accepted) {
    text += style.Green("ACCEPTED");
  } else {
    text += absl::StrCat(style.Red("REFUSED"), ", ", reason);
  }
  text += ".";
  if (!response.other_schemes().empty()) {
    std::vector<std::string> others;
    for (const std::string& other : response.other_schemes()) others.push_back(EscapeText(other));
    absl::StrAppend(&text, " The route also accepts ", absl::StrJoin(others, ", "), ".");
  }
  absl::StrAppend(&text, "\n", style.Dim(absl::StrCat("judged by gateway ", EscapeText(response.gateway()),
                                                       " at revision ", response.revision(),
                                                       request.has_at() ? ", as of " : "",
                                                       request.has_at() ? absl::FormatTime(absl::RFC3339_sec, TimeOf(request.at()), absl::UTCTimeZone()) : "")),
                  "\n");
  return text;
}

}  // namespace gatehouse::cli
