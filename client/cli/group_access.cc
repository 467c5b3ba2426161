// whoami, rotate-key.
#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddAccess(CLI::App& app, CommandLine& line) {
  AccessFlags& whoami_flags = line.Make<AccessFlags>();
  CLI::App* whoami = app.add_subcommand("whoami", "tell who the control plane takes you for, and what you may do");
  whoami->add_flag("--json", whoami_flags.json, "JSON");
  OnRun(*whoami, line, [&] { return WhoAmI(line.context, whoami_flags); });

  AccessFlags& rotate_flags = line.Make<AccessFlags>();
  CLI::App* rotate = app.add_subcommand(
      "rotate-key", "seal the store's secrets under the new key that lies beside the server's as FILE.new; owners only");
  rotate->add_flag("--json", rotate_flags.json, "JSON lines, one a step");
  OnRun(*rotate, line, [&] { return RotateKey(line.context, rotate_flags); });
}

}  // namespace gatehouse::cli
