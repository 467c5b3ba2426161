#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"
#include "gateway/base/escape.h"
#include "gateway/base/message_json.h"

namespace gatehouse::cli {
namespace {

std::string Counted(uint64_t n, absl::string_view noun) { return absl::StrCat(n, " ", noun, n == 1 ? "" : "s"); }

std::string OutcomeText(const v1::Event& event, const Style& style) {
  std::string word = Padded(event.outcome() == v1::Event::OUTCOME_UNSPECIFIED
                                ? v1::Event::Type_Name(event.type())
                                : v1::Event::Outcome_Name(event.outcome()),
                            7);
  switch (event.outcome()) {
    case v1::Event::ALLOWED:
      return style.Green(word);
    case v1::Event::REFUSED:
      return style.Red(word);
    case v1::Event::CUT:
      return style.Yellow(word);
    default:
      return style.Dim(word);
  }
}

// What the event is about, in one column.
std::string About(const v1::Event& event) {
  switch (event.type()) {
    case v1::Event::DECISION: {
      const v1::RequestFacts& request = event.request();
      return absl::StrCat(EscapeText(request.method()), " ", EscapeText(request.host()), EscapeText(request.path()),
                          request.path_truncated() ? "…" : "");
    }
    case v1::Event::HANDSHAKE:
      return absl::StrCat("handshake ", EscapeText(event.server_name()));
    case v1::Event::TRUST:
      return absl::StrCat(Counted(event.connections(), "connection"), ", ", Counted(event.streams(), "stream"));
    case v1::Event::AUDIT:
      return absl::StrCat("write by ", EscapeText(event.actor()));
    case v1::Event::CONFIG:
      return absl::StrCat("configuration of ", EscapeText(event.gateway()));
    case v1::Event::GATEWAY:
      return absl::StrCat("gateway ", EscapeText(event.gateway()));
    case v1::Event::EXPIRY:
      return "expiry";
    case v1::Event::GUESSING:
      return "password guessing";
    case v1::Event::UPSTREAM:
      return absl::StrCat("upstream ", EscapeText(event.upstream().upstream()), " ", EscapeText(event.upstream().endpoint()));
    default:
      return EscapeText(v1::Event::Type_Name(event.type()));
  }
}

std::string WhoText(const v1::Event& event) {
  std::string who = event.principal();
  if (who.empty()) who = event.certificate().subject();
  if (who.empty()) return "";
  const bool caller = event.type() != v1::Event::EXPIRY && event.type() != v1::Event::CONFIG;
  bool unproven = caller && event.has_certificate() && !event.possession_proven();
  return absl::StrCat(EscapeText(who), unproven ? " (unproven)" : "");
}

}  // namespace

std::string EventText(const v1::Event& event, const Style& style, absl::TimeZone zone) {
  // Aligned below what stands after the time.
  const std::string indent(14, ' ');
  std::string text;
  if (event.type() == v1::Event::GAP) {
    std::string missed = event.missed() == 0 ? "… an unknown number of events missed"
                                             : absl::StrCat("… ", Counted(event.missed(), "event"), " missed");
    return absl::StrCat(indent, style.Yellow(missed), " (",
                        event.detail().empty() ? "this watcher was slow" : EscapeText(event.detail()), ")");
  }
  if (event.missed() > 0) {
    absl::StrAppend(&text, indent, style.Yellow(absl::StrCat("… ", Counted(event.missed(), "event"), " missed")),
                    " (the gateway was overloaded)\n");
  }
  absl::Time time = absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
  absl::StrAppend(&text, style.Dim(absl::FormatTime("%H:%M:%E3S", time, zone)), "  ", OutcomeText(event, style), "  ");
  std::string reason;
  if (event.reason() != v1::REASON_UNSPECIFIED) reason = v1::Reason_Name(event.reason());
  text += Padded(reason.empty() ? "-" : reason, 15);

  std::vector<std::string> parts = {About(event)};
  if (std::string who = WhoText(event); !who.empty()) parts.push_back(who);
  if (!event.peer().empty()) parts.push_back(EscapeText(event.peer()));
  if (!event.schemes().empty()) {
    std::vector<std::string> schemes;
    for (const std::string& scheme : event.schemes()) schemes.push_back(EscapeText(scheme));
    parts.push_back(absl::StrJoin(schemes, "+"));
  }
  if (event.any_self_signed()) parts.push_back(style.Yellow("ANY SELF-SIGNED"));
  if (event.request().status() != 0) parts.push_back(absl::StrCat(event.request().status()));
  if (!event.detail().empty()) parts.push_back(EscapeText(event.detail()));
  if (event.previous_revision() != 0) {
    parts.push_back(absl::StrCat("revision ", event.previous_revision(), " -> ", event.revision()));
  } else if (event.type() == v1::Event::CONFIG || event.type() == v1::Event::AUDIT) {
    parts.push_back(absl::StrCat("revision ", event.revision()));
  }
  if (!event.request().request_id().empty()) {
    parts.push_back(style.Dim(absl::StrCat("req ", EscapeText(event.request().request_id()))));
  }
  return absl::StrCat(text, "  ", absl::StrJoin(parts, "   "));
}

std::string EventJson(const v1::Event& event) {
  std::string json;
  if (!AppendMessageJson(event, &json)) return R"({"detail":"an event could not be printed"})";
  return json;
}

std::string SummaryText(const v1::SummaryResponse& response, const v1::SummaryRequest& request, absl::TimeZone zone,
                        const Style& style) {
  using D = v1::SummaryRequest;
  bool by[6] = {};
  for (int dimension : request.by()) by[dimension] = true;
  if (request.by().empty()) by[D::OUTCOME] = by[D::REASON] = true;
  const char* const kNames[] = {"", "OUTCOME", "REASON", "ROUTE", "SCHEME", "GATEWAY"};
  std::vector<std::string> header;
  if (request.has_step()) header.push_back("TIME");
  for (int i = 1; i < 6; ++i) {
    if (by[i]) header.push_back(kNames[i]);
  }
  header.push_back("COUNT");
  const auto named = [](const std::string& name) { return name.empty() ? "-" : EscapeText(name); };
  std::vector<std::vector<std::string>> rows;
  for (const v1::SummaryRow& row : response.rows()) {
    std::vector<std::string>& cells = rows.emplace_back();
    if (request.has_step()) cells.push_back(absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(row.time().seconds()), zone));
    if (by[D::OUTCOME]) cells.push_back(v1::Event::Outcome_Name(row.outcome()));
    if (by[D::REASON]) cells.push_back(row.reason() == v1::REASON_UNSPECIFIED ? "-" : v1::Reason_Name(row.reason()));
    if (by[D::ROUTE]) cells.push_back(named(row.route()));
    if (by[D::SCHEME]) cells.push_back(named(row.scheme()));
    if (by[D::GATEWAY_NAME]) cells.push_back(named(row.gateway()));
    cells.push_back(absl::StrCat(row.count()));
  }
  std::ostringstream out;
  if (rows.empty()) {
    out << "no decisions\n";
  } else {
    PrintTable(header, rows, style, out);
  }
  if (response.truncated()) out << "there are more rows: ask for fewer dimensions or a longer step\n";
  out << "counted since " << absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(response.known_from().seconds()), zone) << "\n";
  return out.str();
}

}  // namespace gatehouse::cli
