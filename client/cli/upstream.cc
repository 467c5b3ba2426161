// upstream status: how a gateway has the endpoints of the services behind it.
#include <algorithm>
#include <ostream>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/groups.h"
#include "client/cli/style.h"
#include "client/yaml/writer.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

std::string StateText(v1::EndpointStatus::State state, const Style& style) {
  const std::string word = v1::EndpointStatus::State_Name(state);
  switch (state) {
    case v1::EndpointStatus::HEALTHY: return style.Green(word);
    case v1::EndpointStatus::UNHEALTHY: return style.Red(word);
    case v1::EndpointStatus::EJECTED:
    case v1::EndpointStatus::DRAINING: return style.Yellow(word);
    default: return word;
  }
}

}  // namespace

std::string EndpointsText(const v1::ListEndpointsResponse& listed, absl::Time now, const Style& style) {
  if (listed.endpoints().empty()) return "no upstream is configured\n";
  std::vector<std::vector<std::string>> rows;
  for (const v1::EndpointStatus& one : listed.endpoints()) {
    const absl::Time since = absl::FromUnixSeconds(one.since().seconds());
    rows.push_back({EscapeText(one.upstream()), EscapeText(one.endpoint()),
                    one.address().empty() ? "-" : EscapeText(one.address()), StateText(one.state(), style),
                    absl::FormatDuration(absl::Trunc(std::max(now - since, absl::ZeroDuration()), absl::Seconds(1))),
                    absl::StrCat(one.active_requests()), absl::StrCat(one.requests()), absl::StrCat(one.failures()),
                    absl::StrCat(one.connections()), EscapeText(one.detail())});
  }
  std::ostringstream out;
  PrintTable({"UPSTREAM", "ENDPOINT", "ADDRESS", "STATE", "FOR", "ACTIVE", "REQUESTS", "FAILED", "CONNECTIONS", "WHY"}, rows,
             style, out);
  if (listed.truncated()) out << "… and more\n";
  return out.str();
}

int UpstreamStatus(Context& context, const UpstreamFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  v1::ListEndpointsRequest request;
  request.set_upstream(flags.name);
  request.set_gateway(flags.gateway);
  absl::StatusOr<v1::ListEndpointsResponse> listed = (*client)->ListEndpoints(request);
  if (!listed.ok()) return Fail(context, listed.status());
  switch (flags.output) {
    case Output::kName:
    case Output::kTable:
      context.out() << EndpointsText(*listed, absl::Now(), Style(context.color));
      break;
    case Output::kYaml:
      context.out() << client::MessageYaml(*listed);
      break;
    case Output::kJson:
      return PrintJson(context, *listed);
  }
  return kOk;
}

void AddUpstream(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("upstream", "the services behind a gateway");
  group->require_subcommand(1);
  UpstreamFlags& flags = line.Make<UpstreamFlags>();
  CLI::App* status = group->add_subcommand("status", "tell how their endpoints do: state, requests, failures");
  status->add_option("NAME", flags.name, "only this upstream");
  status->add_option("--gateway", flags.gateway, "ask this gateway; default: the embedded one, or the only one");
  static const std::map<std::string, Output> kOutputs = {
      {"table", Output::kTable}, {"yaml", Output::kYaml}, {"json", Output::kJson}};
  AddOutput(*status, flags.output, kOutputs, "table, yaml or json");
  OnRun(*status, line, [&] { return UpstreamStatus(line.context, flags); });
}

}  // namespace gatehouse::cli
