// history, status: what the control plane says.
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()), absl::LocalTimeZone());
}

std::string WhatChanged(const v1::Revision& revision) {
  constexpr int kShown = 4;
  std::string text;
  for (int i = 0; i < revision.changes_size() && i < kShown; ++i) {
    const v1::Change& change = revision.changes(i);
    char sign = change.action() == v1::Change::ADDED ? '+' : change.action() == v1::Change::REMOVED ? '-' : '~';
    absl::StrAppend(&text, i == 0 ? "" : " ", std::string(1, sign),
                    client::IdText(change.id().kind(), change.id().name()));
  }
  if (revision.changes_size() > kShown) absl::StrAppend(&text, " and ", revision.changes_size() - kShown, " more");
  return text;
}

}  // namespace

int ShowHistory(Context& context, int count, bool json) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  client::Pages<v1::Revision> pages = (*client)->History(std::min(count, 1000));
  std::vector<std::vector<std::string>> rows;
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<std::optional<v1::Revision>> revision = pages.Next();
    if (!revision.ok()) return Fail(context, revision.status());
    if (!revision->has_value()) break;
    if (json) {
      if (int code = PrintJson(context, **revision); code != kOk) return code;
      continue;
    }
    rows.push_back({absl::StrCat((*revision)->revision()), TimeText((*revision)->time()),
                    EscapeText((*revision)->actor()), EscapeText((*revision)->message()), WhatChanged(**revision)});
  }
  if (!json) PrintTable({"REVISION", "TIME", "WHO", "MESSAGE", "WHAT"}, rows, Style(context.color), context.out());
  return kOk;
}

int ShowStatus(Context& context, bool json) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::Status> status = (*client)->GetStatus();
  if (!status.ok()) return Fail(context, status.status());
  if (json) return PrintJson(context, *status);
  const Style style(context.color);
  context.out() << style.Bold("control plane") << "   version " << EscapeText(status->version()) << "   revision "
                << status->revision() << "   since " << TimeText(status->start_time()) << "\n"
                << style.Bold("events") << "          " << status->events() << " seen, " << status->events_lost()
                << " lost, " << status->watchers() << " watching\n";
  std::vector<std::vector<std::string>> rows;
  std::string refusals;
  for (const v1::GatewayStatus& gateway : status->gateways()) {
    bool current = gateway.acknowledged_revision() == status->revision();
    rows.push_back({EscapeText(gateway.name()), gateway.connected() ? "connected" : "gone",
                    absl::StrCat(gateway.acknowledged_revision(), current ? "" : " (behind)"),
                    EscapeText(gateway.version()), EscapeText(gateway.peer())});
    if (gateway.refused_revision() == 0) continue;
    absl::StrAppend(&refusals, style.Red("refused:"), " ", EscapeText(gateway.name()), " could not take revision ",
                    gateway.refused_revision(), "\n");
    for (const v1::Violation& violation : gateway.violations()) {
      absl::StrAppend(&refusals, "  ", PathText(violation.path()), ": ", EscapeText(violation.message()), "\n");
    }
  }
  if (rows.empty()) {
    context.out() << "no gateway has connected yet\n";
  } else {
    PrintTable({"GATEWAY", "STATE", "REVISION", "VERSION", "PEER"}, rows, style, context.out());
  }
  context.out() << refusals;
  return kOk;
}

}  // namespace gatehouse::cli
