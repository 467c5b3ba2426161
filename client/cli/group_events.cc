// events.
#include "client/cli/groups.h"

namespace gatehouse::cli {
namespace {

void AddEventFilter(CLI::App& command, EventFilterFlags& flags) {
  command.add_option("--outcome", flags.outcomes, "allowed, refused, cut, notice; repeatable");
  command.add_option("--reason", flags.reasons, "e.g. expired, unknown_issuer; repeatable");
  command.add_option("--route", flags.routes, "route's name; repeatable");
  command.add_option("--scheme", flags.schemes, "scheme's name; repeatable");
  command.add_option("--gateway", flags.gateways, "gateway's name; repeatable");
}

}  // namespace

void AddEvents(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("events", "see what happens, and what happened");
  group->require_subcommand(1);
  WatchFlags& flags = line.Make<WatchFlags>();
  CLI::App* watch = group->add_subcommand("watch", "print events as they happen; JSON lines in a pipe");
  AddEventFilter(*watch, flags.filter);
  watch->add_option("--type", flags.filter.types,
                    "decision, handshake, trust, config, gateway, audit, expiry, guessing, upstream; repeatable");
  watch->add_option("--principal", flags.filter.principals, "exact principal; repeatable");
  CLI::Option* after = watch->add_option("--after", flags.after, "INCARNATION:SEQUENCE: first what happened after that event");
  watch->add_option("--since", flags.since, "10m, 7d or 2027-01-31T12:00:00Z: first what happened since then")->excludes(after);
  watch->add_flag("--from-oldest", flags.from_oldest,
                  "where that is not kept any more, first what still is; alone: everything that is kept");
  watch->add_option("--count", flags.count, "end after this many events");
  watch->add_option("-o,--output", flags.output, "text or json; default: text on a terminal, json in a pipe")
      ->check(CLI::IsMember({"text", "json"}).description(""));
  OnRun(*watch, line, [&] { return WatchEvents(line.context, flags); });

  EventSummaryFlags& counts = line.Make<EventSummaryFlags>();
  CLI::App* summary = group->add_subcommand("summary", "count decisions of the last 24 hours");
  AddEventFilter(*summary, counts.filter);
  summary->add_option("--by", counts.by, "outcome, reason, route, scheme, gateway; default: outcome,reason")->delimiter(',');
  summary->add_option("--since", counts.since, "2h or 2027-01-31T12:00:00Z; default: 24 hours");
  summary->add_option("--until", counts.until, "likewise; default: now");
  summary->add_option("--step", counts.step, "a row for each such time, as in 10m; default: all in one");
  AddOutput(*summary, counts.output, {{"table", Output::kTable}, {"yaml", Output::kYaml}, {"json", Output::kJson}},
            "table, yaml or json");
  OnRun(*summary, line, [&] { return SummarizeEvents(line.context, counts); });
}

}  // namespace gatehouse::cli
