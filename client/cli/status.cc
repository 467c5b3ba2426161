// cert explain, history, status: what the control plane says.
#include <google/protobuf/util/json_util.h>

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

int PrintJson(Context& context, const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) return Fail(context, absl::InternalError("the answer has no JSON form"));
  context.out() << json << "\n";
  return kOk;
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

int Explain(Context& context, const ExplainFlags& flags) {
  absl::StatusOr<std::string> chain = ReadInput(context, flags.chain);
  if (!chain.ok()) return Fail(context, chain.status());
  v1::ExplainRequest request;
  request.set_chain_pem(*chain);
  if (chain->find("PRIVATE KEY-----") != std::string::npos) {
    return Fail(context, absl::InvalidArgumentError(
                             absl::StrCat(flags.chain, " holds a private key, which is not sent: give certificates only")));
  }
  if (!flags.scheme.empty()) request.set_scheme(flags.scheme);
  if (!flags.route.empty()) request.set_route(flags.route);
  request.set_gateway(flags.gateway);
  absl::Time now = absl::Now();
  if (!flags.at.empty()) {
    absl::StatusOr<absl::Time> at = ParseTimeFlag("--at", flags.at);
    if (!at.ok()) {
      Fail(context, at.status());
      return kUsage;
    }
    request.mutable_at()->set_seconds(absl::ToUnixSeconds(*at));
    now = *at;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::ExplainResponse> response = (*client)->Explain(request);
  if (!response.ok()) return Fail(context, response.status());
  if (flags.json) return PrintJson(context, *response);
  context.out() << ExplainText(request, *response, now, Style(context.color));
  for (const v1::SchemeVerdict& verdict : response->verdicts()) {
    if (verdict.accepted()) return kOk;
  }
  return kRefused;
}

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
