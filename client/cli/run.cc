#include "client/cli/run.h"

#include <cstdlib>
#include <ostream>

#include "client/cli/completion.h"
#include "client/cli/groups.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 done; 1 refused or invalid; 2 wrong usage; 3 not found; 4 conflict with another change or an\n"
    "existing name; 5 control plane unavailable, or output not written; 6 permission denied; 7 stored, but not in force everywhere\n"
    "in time.\n";

void AddGlobal(CLI::App& app, CommandLine& line, std::string& color) {
  ConnectionFlags& connection = line.context.connection;
  app.add_option("-s,--server", connection.server,
                 "unix:/path or host:port; default: the context's, $GATEHOUSE_SERVER, else the local gatehouse's socket");
  app.add_option("--context", connection.context, "speak to the control plane of this context; see `context list`");
  app.add_option("--ca", connection.tls.ca, "authorities of a host:port server, PEM");
  app.add_option("--cert", connection.tls.certificate, "our certificate for it, PEM");
  app.add_option("--key", connection.tls.key, "our key for it, PEM");
  app.add_option("--tls-server-name", connection.tls.server_name, "name in its certificate, if not the host");
  app.add_flag("--insecure-loopback", connection.insecure_loopback, "no TLS; this machine only");
  app.add_option_function<double>(
         "--timeout", [&connection](const double& seconds) { connection.timeout = absl::Seconds(seconds); },
         "seconds for a call; default 30")
      ->check(CLI::Range(0.001, 3600.0));
  app.add_option("--color", color, "auto, always or never")->check(CLI::IsMember({"auto", "always", "never"}));
}

// Help and version too are told by CLI11 as errors, with code 0.
int Tell(const CLI::App& app, const CLI::ParseError& error, const Streams& streams) {
  const CLI::App* at = &app;  // the command that was understood last
  while (!at->get_subcommands().empty()) at = at->get_subcommands().back();
  std::vector<std::string> commands;
  for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; })) {
    commands.push_back(command->get_name());
  }
  if (error.get_exit_code() != 0 && !commands.empty()) {
    // What a command does not know falls through to the whole.
    std::vector<std::string> unknown = at->remaining();
    if (at != &app) {
      for (std::string& word : app.remaining()) unknown.push_back(std::move(word));
    }
    for (const std::string& word : unknown) {
      if (word.empty() || word[0] == '-') continue;
      const std::string meant = client::Closest(word, commands);
      *streams.err << "error: no command named \"" << EscapeText(word) << "\""
                   << (meant.empty() ? "" : "; did you mean \"" + meant + "\"?")
                   << "\nRun with --help for the commands.\n";
      return kUsage;
    }
  }
  return app.exit(error, *streams.out, *streams.err) == 0 ? kOk : kUsage;
}

int Act(const std::vector<std::string>& arguments, const Streams& streams) {
  CommandLine line;
  line.context.streams = streams;
  std::string color = "auto";
  CLI::App app("Command line client of the Gatehouse authentication gateway.", "gatehousectl");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  app.failure_message([](const CLI::App* a, const CLI::Error& e) {
    return "error: " + CLI::FailureMessage::simple(a, e);
  });
  app.set_help_all_flag("--help-all", "help of every command");
  AddGlobal(app, line, color);
  AddResources(app, line);
  AddTrust(app, line);
  AddUsers(app, line);
  AddPolicies(app, line);
  AddEvents(app, line);
  AddCertificates(app, line);
  AddHistory(app, line);
  AddAccess(app, line);
  AddGateways(app, line);
  AddState(app, line);
  AddUpstream(app, line);
  AddContexts(app, line);
  AddShell(app, line);
  if (!arguments.empty() && arguments[0] == kCompleteWord) {
    return Complete(app, line.context, {arguments.begin() + 1, arguments.end()});
  }

  // CLI11 takes the arguments last first.
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    return Tell(app, e, streams);
  }
  const bool plain = std::getenv("NO_COLOR") != nullptr;
  line.context.color = color == "always" || (color == "auto" && streams.out_is_terminal && !plain);
  line.context.error_color = color == "always" || (color == "auto" && streams.err_is_terminal && !plain);
  return line.action();
}

}  // namespace

int Run(const std::vector<std::string>& arguments, const Streams& streams) {
  const int code = Act(arguments, streams);
  streams.out->flush();
  if (code != kOk || *streams.out) return code;
  *streams.err << "error: " << OutputLost().message() << "\n";
  return kUnavailable;
}

}  // namespace gatehouse::cli
