// context.
#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddContexts(CLI::App& app, CommandLine& line) {
  ContextFlags& flags = line.Make<ContextFlags>();
  CLI::App* group = app.add_subcommand("context", "named control planes, and which of them is used");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, int (*run)(Context&, const ContextFlags&)) {
    CLI::App* command = group->add_subcommand(name, help);
    OnRun(*command, line, [&line, &flags, run] { return run(line.context, flags); });
    return command;
  };
  add("list", "list them; * is the one that is used", ListContexts);
  CLI::App* use = add("use", "use this one from now on", UseContext);
  CLI::App* set = add("set", "make one, or replace it", SetContext);
  CLI::App* remove = add("delete", "delete one", DeleteContext);
  CLI::App* show = add("show", "tell what is connected to, by this command line or by a context", ShowContext);
  for (CLI::App* command : {use, set, remove}) command->add_option("name", flags.name, "context")->required();
  show->add_option("name", flags.name, "context; default: what is used");
  set->add_option("--server", flags.connection.server, "unix:/path or host:port")->required();
  set->add_option("--ca", flags.connection.tls.ca, "authorities of a host:port server, PEM");
  set->add_option("--cert", flags.connection.tls.certificate, "our certificate for it, PEM");
  set->add_option("--key", flags.connection.tls.key, "our key for it, PEM");
  set->add_option("--tls-server-name", flags.connection.tls.server_name, "name in its certificate, if not the host");
  set->add_flag("--insecure-loopback", flags.connection.insecure_loopback, "no TLS; this machine only");
  set->add_flag("--use", flags.use, "use it from now on");
}

}  // namespace gatehouse::cli
