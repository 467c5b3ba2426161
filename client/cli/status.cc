// status.
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
int ShowStatus(Context& context, const StatusFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::Status> status = (*client)->GetStatus();
  if (!status.ok()) return Fail(context, status.status());
  if (flags.json) return PrintJson(context, *status);
  const Style style(context.color);
  context.out() << style.Bold("control plane") << "   version " << EscapeText(status->version()) << "   revision "
                << status->revision() << "   since " << DateText(status->start_time()) << "\n"
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
