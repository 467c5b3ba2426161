#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

constexpr size_t kResult = 24;  // columns of a step's result: the longest reason and two spaces

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

template <typename List>
std::string Escaped(const List& list, absl::string_view separator) {
  std::vector<std::string> parts;
  for (const std::string& one : list) parts.push_back(EscapeText(one));
  return absl::StrJoin(parts, separator);
}

// "name        text": the first line has the label, later ones are aligned below it.
void Line(absl::string_view label, absl::string_view text, std::string* out) {
  absl::StrAppend(out, Padded(label, kExplainIndent), text, "\n");
}

// A coloured word in a column.
std::string Column(const std::string& word, const std::string& coloured, size_t width) {
  return absl::StrCat(coloured, std::string(word.size() < width ? width - word.size() : 1, ' '));
}

// `leaf <- CN=Issuing <- CN=Root (anchor of trustStores/partners)`
std::string PathLine(const v1::CandidatePath& path, const v1::SchemeVerdict& verdict) {
  std::vector<std::string> parts = {"leaf"};
  for (int i = 1; i < path.subjects_size(); ++i) parts.push_back(EscapeText(path.subjects(i)));
  return absl::StrCat(absl::StrJoin(parts, " <- "), " (anchor of ",
                      verdict.trust_store().empty() ? "the operating system"
                                                    : absl::StrCat("trustStores/", EscapeText(verdict.trust_store())),
                      ")");
}

void AppendSteps(const v1::SchemeVerdict& verdict, const std::string& leaf, const Style& style, std::string* out) {
  int64_t shown = -1;
  for (const v1::ExplainStep& step : verdict.steps()) {
    // What is about the leaf alone comes before the paths.
    if (step.step() == "path" && step.candidate() != shown) {
      for (const v1::CandidatePath& path : verdict.candidates()) {
        if (path.candidate() != step.candidate()) continue;
        const std::string label = verdict.candidates_size() > 1 ? absl::StrCat("  path ", path.candidate() + 1) : "  path";
        Line(label, style.Bold(PathLine(path, verdict)), out);
        shown = step.candidate();
      }
    }
    const std::string word = step.ok() ? "ok" : v1::Reason_Name(step.reason());
    std::string text = Column(word, step.ok() ? style.Green(word) : style.Red(word), kResult);
    if (!step.certificate().empty() && step.certificate() != leaf) {
      absl::StrAppend(&text, EscapeText(step.certificate()), step.detail().empty() ? "" : "   ");
    }
    absl::StrAppend(&text, EscapeText(step.detail()));
    while (!text.empty() && text.back() == ' ') text.pop_back();
    Line(absl::StrCat(shown >= 0 ? "    " : "  ", EscapeText(step.step())), text, out);
  }
}

void AppendVerdict(const v1::SchemeVerdict& verdict, const std::string& leaf, const Style& style, std::string* out) {
  const std::string word = verdict.accepted() ? "accepted" : v1::Reason_Name(verdict.reason());
  absl::StrAppend(out, style.Bold(Padded(EscapeText(verdict.scheme()), kExplainIndent)),
                  verdict.accepted() ? style.Green(word) : style.Red(word),
                  verdict.pinned() ? "   pinned" : "",
                  verdict.any_self_signed() ? absl::StrCat("   ", style.Yellow("any self-signed certificate is")) : "",
                  "\n");
  AppendSteps(verdict, leaf, style, out);
  bool first = true;
  for (const v1::ExplainedClaim& claim : verdict.claims()) {
    Line(first ? "  claims" : "", absl::StrCat(EscapeText(claim.type()), " = ", EscapeText(claim.value())), out);
    first = false;
  }
}

std::string NameText(const v1::AskedName& asked) {
  return asked.server_name().empty() ? "any other name" : EscapeText(asked.server_name());
}

// Names of one listener that ask in the same way are told of together: the entries, and their names.
std::vector<std::pair<v1::AskedName, std::string>> Grouped(const v1::ExplainResponse& response) {
  std::vector<std::pair<v1::AskedName, std::string>> out;
  for (const v1::AskedName& asked : response.asks()) {
    v1::AskedName key = asked;
    key.clear_server_name();
    bool known = false;
    for (auto& [other, names] : out) {
      if (other.SerializeAsString() != key.SerializeAsString()) continue;
      names = asked.server_name().empty() ? absl::StrCat(names, ", ", NameText(asked))
                                          : absl::StrCat(NameText(asked), ", ", names);
      known = true;
    }
    if (!known) out.emplace_back(std::move(key), NameText(asked));
  }
  return out;
}

void AppendAsks(const v1::ExplainResponse& response, const Style& style, std::string* out) {
  bool first = true;
  for (const auto& [asked, names] : Grouped(response)) {
    const std::string where =
        absl::StrCat(EscapeText(asked.listener()), " ", EscapeText(asked.address()), "   ", names, "   ");
    std::string how;
    switch (asked.client_certificate()) {
      case v1::Listener::NONE:
        how = absl::StrCat(style.Red("NONE"), "   no client is asked, so none sends its certificate");
        break;
      case v1::Listener::REQUIRE:
        how = absl::StrCat(style.Green("REQUIRE"), "   no handshake without a certificate");
        break;
      default:
        how = absl::StrCat(style.Green("ALLOW"), "   clients are asked, and may send none");
        break;
    }
    Line(first ? "asked by" : "", absl::StrCat(where, how), out);
    first = false;
    if (asked.client_certificate() == v1::Listener::NONE) continue;
    Line("", asked.ca_hints().empty()
                 ? std::string("  no hints: any certificate may be sent")
                 : absl::StrCat("  hints: a certificate issued by ", Escaped(asked.ca_hints(), ", or ")),
         out);
    if (!response.presented().empty() && !asked.hinted()) {
      Line("", style.Yellow("  most clients would not send this certificate: no hint names an issuer in its chain"), out);
    }
    if (asked.schemes().empty()) Line("", style.Yellow("  no route there looks at certificates"), out);
    if (!asked.verify_with().empty()) {
      Line("", absl::StrCat("  judged within the handshake by schemes/", EscapeText(asked.verify_with())), out);
    }
  }
}

// How to see with one's own eyes what is asked for, and what is sent.
void AppendTest(const v1::ExplainResponse& response, std::string* out) {
  for (const v1::AskedName& asked : response.asks()) {
    if (asked.client_certificate() == v1::Listener::NONE) continue;
    const std::string name = asked.server_name().empty() ? "localhost" : EscapeText(asked.server_name());
    Line("try", absl::StrCat("openssl s_client -connect ", EscapeText(asked.address()), " -servername ", name,
                             " -cert client.pem -key client.key </dev/null"),
         out);
    Line("", "it prints \"Acceptable client certificate CA names\": the hints; -key fails when the key does not fit", out);
    return;
  }
}

void AppendDelegated(const v1::ExplainResponse& response, const Style& style, std::string* out) {
  const auto duration = [](const google::protobuf::Duration& d) {
    return absl::FormatDuration(absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos()));
  };
  for (const v1::DelegatedScheme& scheme : response.delegated()) {
    Line(EscapeText(scheme.scheme()), "a service decides; nobody was asked, since no password is known here", out);
    for (const v1::DelegatedScheme::Endpoint& endpoint : scheme.endpoints()) {
      const std::string state = absl::StrCat("circuit breaker ", EscapeText(endpoint.state()));
      Line("  endpoint", absl::StrCat(EscapeText(endpoint.endpoint()), "   ", endpoint.asked() ? state : style.Red(state)), out);
    }
    Line("  transport", EscapeText(scheme.transport()), out);
    Line("  deadline", absl::StrCat(duration(scheme.deadline()), "   answers count ", duration(scheme.max_lifetime()), " at most"),
         out);
    Line("  is sent", absl::StrCat("user, password, scheme", scheme.sent().empty() ? "" : ", ", Escaped(scheme.sent(), ", ")), out);
  }
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
    for (size_t at = days.size(); at > 3; at -= 3) days.insert(at - 3, 1, ',');
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
  std::string text;
  if (response.has_event()) Line("event", EventText(response.event(), style, absl::LocalTimeZone()), &text);
  for (int i = 0; i < response.presented_size(); ++i) {
    const v1::CertificateFacts& facts = response.presented(i);
    Line(i == 0 ? "certificate" : i == 1 ? "sent with it" : "",
         absl::StrCat(EscapeText(facts.subject()), "   issued by ", EscapeText(facts.issuer()), "   SHA-256 ",
                      ShortDigest(facts.sha256(), 8), facts.has_not_after() ? "   " : "",
                      facts.has_not_after() ? ExpiryText(TimeOf(facts.not_after()), now) : ""),
         &text);
  }
  bool accepted = false;
  std::string reason;
  for (const v1::SchemeVerdict& verdict : response.verdicts()) {
    AppendVerdict(verdict, response.certificate().subject(), style, &text);
    if (verdict.accepted()) accepted = true;
    if (!verdict.accepted() && reason.empty()) reason = v1::Reason_Name(verdict.reason());
  }
  AppendAsks(response, style, &text);
  AppendDelegated(response, style, &text);
  if (response.has_access()) absl::StrAppend(&text, AccessText(response.access(), style));
  if (!response.opens().empty()) Line("opens", Escaped(response.opens(), ", "), &text);
  if (response.presented().empty()) AppendTest(response, &text);
  text += "verdict: ";
  if (response.presented().empty()) {
    bool asked = false;
    for (const v1::AskedName& name : response.asks()) {
      asked = asked || name.client_certificate() != v1::Listener::NONE;
    }
    text += response.asks().empty() && !response.delegated().empty()
                ? "the service decides"
            : response.asks().empty() ? "no listener leads there"
            : asked                 ? "no certificate to judge; clients are asked for one"
                                    : absl::StrCat(style.Red("no client is ever asked for its certificate"));
  } else if (response.verdicts().empty()) {
    text += "nothing was judged: no client certificate scheme is asked here";
  } else if (accepted) {
    text += style.Green("ACCEPTED");
  } else {
    text += absl::StrCat(style.Red("REFUSED"), ", ", reason);
  }
  text += ".";
  if (response.has_access()) {
    absl::StrAppend(&text, " On route ", EscapeText(response.access().route()), ": ",
                    AccessVerdictText(response.access(), style), ".");
  }
  if (!response.other_schemes().empty()) {
    absl::StrAppend(&text, " The route also accepts ", Escaped(response.other_schemes(), ", "), ".");
  }
  absl::StrAppend(
      &text, "\n",
      style.Dim(absl::StrCat(
          "judged by gateway ", EscapeText(response.gateway()), " at revision ", response.revision(),
          request.has_at() ? ", as of " : "",
          request.has_at() ? absl::FormatTime(absl::RFC3339_sec, TimeOf(request.at()), absl::UTCTimeZone()) : "")),
      "\n");
  return text;
}

}  // namespace gatehouse::cli
