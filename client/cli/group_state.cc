// status, version.
#include <ostream>

#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddState(CLI::App& app, CommandLine& line) {
  StatusFlags& flags = line.Make<StatusFlags>();
  CLI::App* status = app.add_subcommand("status", "tell how the control plane and its gateways are");
  status->add_flag("--json", flags.json, "JSON; with --watch a line each time");
  CLI::Option* watch = status->add_flag("-w,--watch", flags.watch, "again whenever a gateway comes, goes, takes or refuses a revision");
  status->add_option("-n,--count", flags.count, "with --watch: end after so many")->needs(watch)->check(CLI::PositiveNumber);
  OnRun(*status, line, [&] { return ShowStatus(line.context, flags); });

  CLI::App* version = app.add_subcommand("version", "print the version");
  OnRun(*version, line, [&] {
    line.context.out() << "gatehousectl " << GATEHOUSE_VERSION << "\n";
    return static_cast<int>(kOk);
  });
}

}  // namespace gatehouse::cli
