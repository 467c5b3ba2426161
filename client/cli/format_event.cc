#include <google/protobuf/util/json_util.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"
#include "client/yaml/writer.h"
#include "gateway/base/escape.h"

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
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(event, &json, options).ok()) {
    return R"({"detail":"an event could not be printed"})";
  }
  return client::HarmlessJson(json);
}

}  // namespace gatehouse::cli
