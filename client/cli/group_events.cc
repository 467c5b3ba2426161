// events.
#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddEvents(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("events", "see what happens");
  group->require_subcommand(1);
  WatchFlags& flags = line.Make<WatchFlags>();
  CLI::App* watch = group->add_subcommand("watch", "print events as they happen; JSON lines in a pipe");
  watch->add_option("--outcome", flags.outcomes, "allowed, refused, cut, notice; repeatable");
  watch->add_option("--reason", flags.reasons, "e.g. expired, unknown_issuer; repeatable");
  watch->add_option("--type", flags.types, "decision, handshake, trust, config, gateway, audit, expiry, guessing; repeatable");
  watch->add_option("--route", flags.routes, "route's name; repeatable");
  watch->add_option("--scheme", flags.schemes, "scheme's name; repeatable");
  watch->add_option("--gateway", flags.gateways, "gateway's name; repeatable");
  watch->add_option("--principal", flags.principals, "exact principal; repeatable");
  watch->add_option("--since", flags.since, "INCARNATION:SEQUENCE: first what happened after that event");
  watch->add_option("--count", flags.count, "end after this many events");
  CLI::Option* json = watch->add_flag("--json", flags.json, "JSON lines on a terminal too");
  watch->add_flag("--text", flags.text, "text in a pipe too")->excludes(json);
  OnRun(*watch, line, [&] { return WatchEvents(line.context, flags); });
}

}  // namespace gatehouse::cli
