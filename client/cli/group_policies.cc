// policy.
#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddPolicies(CLI::App& app, CommandLine& line) {
  static const std::map<std::string, Output> kOutputs = {{"text", Output::kTable}, {"json", Output::kJson}};
  CLI::App* group = app.add_subcommand("policy", "try policies out");
  group->require_subcommand(1);
  CLI::App* test = group->add_subcommand("test", "tell whether a policy holds, clause by clause; exit code 0 met, 1 not met");
  PolicyTestFlags& t = line.Make<PolicyTestFlags>();
  test->add_option("name", t.name, "policy; with --file and one policy in it not needed");
  test->add_option("-f,--file", t.file, "take policies from this file, in the place of stored ones of their names; or -");
  test->add_option("--claims", t.claims, "the caller's claims, YAML or JSON: a list of {type, value, issuer, scheme}; or -");
  test->add_option("--address", t.address, "address that the request comes from; default: not known");
  test->add_option("--time", t.time, "as if it were then, e.g. 2027-01-31T12:00:00Z; default: now");
  CLI::Option* certificate =
      test->add_option("--certificate", t.certificate, "a certificate that is taken to have been accepted, PEM or DER");
  test->add_option("--certificate-scheme", t.certificate_scheme, "by this scheme; default: the only one, else Certificate")
      ->needs(certificate);
  AddOutput(*test, t.output, kOutputs, "text or json");
  OnRun(*test, line, [&] { return TestPolicy(line.context, t); });
}

}  // namespace gatehouse::cli
