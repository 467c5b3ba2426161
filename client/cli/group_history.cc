// history, rollback.
#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddHistory(CLI::App& app, CommandLine& line) {
  HistoryFlags& flags = line.Make<HistoryFlags>();
  CLI::App* history = app.add_subcommand("history", "list what was written, newest first: who, when, what; or tell all about one revision");
  CLI::Option* revision = history->add_option("revision", flags.revision, "this one, with every detail");
  revision->check(RevisionFrom(1));
  history->add_option("-n,--count", flags.count, "at most this many; default 20")->check(CLI::Range(1, 1000000));
  CLI::Option* configuration = history->add_flag("--config", flags.configuration, "changes of the configuration alone");
  CLI::Option* all = history->add_flag("--all", flags.all, "everything: refused calls and renewals of gateways' certificates, too");
  all->excludes(configuration);
  history->add_flag("--refused", flags.refused, "refused calls alone: who, from where, what, why")
      ->excludes(configuration)->excludes(all)->excludes(revision);
  AddOutput(*history, flags.output, {{"table", Output::kTable}, {"yaml", Output::kYaml}, {"json", Output::kJson}},
            "table, yaml (a document each) or json (a line each)");
  history->add_flag("--json", flags.json, "JSON lines, as -o json");
  OnRun(*history, line, [&] { return ShowHistory(line.context, flags); });

  RollbackFlags& rollback_flags = line.Make<RollbackFlags>();
  CLI::App* rollback = app.add_subcommand("rollback", "make the configuration what it was at a revision; shows what changes first");
  rollback->add_option("revision", rollback_flags.revision, "as `history` lists them")->required()->check(RevisionFrom(0));
  rollback->add_flag("--restore-trust", rollback_flags.restore_trust,
                     "trust stores and schemes too: who was kept out since may get in again");
  rollback->add_flag("--dry-run", rollback_flags.dry_run, "show what would change, and change nothing");
  AddChangeFlags(*rollback, rollback_flags.change);
  OnRun(*rollback, line, [&] { return Rollback(line.context, rollback_flags); });
}

}  // namespace gatehouse::cli
