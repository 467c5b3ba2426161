// gateway.
#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddGateways(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("gateway", "let gateways in, and remove them; `status` lists them");
  group->require_subcommand(1);
  GatewayFlags& flags = line.Make<GatewayFlags>();
  CLI::App* token = group->add_subcommand("token", "tokens for `gatehouse-gateway --join`");
  token->require_subcommand(1);
  CLI::App* create = token->add_subcommand("create", "make a token, good for one gateway; it is printed this once");
  create->add_option("--gateway", flags.gateway, "only a gateway of this name may use it; default: any new name");
  create->add_option("--lifetime", flags.lifetime_seconds, "seconds; default 3600, at most 7 days")
      ->check(CLI::Range(1.0, 7 * 86400.0));
  create->add_flag("--json", flags.json, "JSON");
  OnRun(*create, line, [&] { return CreateJoinToken(line.context, flags); });
  CLI::App* list = token->add_subcommand("list", "list tokens that can still be used");
  list->add_flag("--json", flags.json, "JSON");
  OnRun(*list, line, [&] { return ListJoinTokens(line.context, flags); });
  CLI::App* remove_token = token->add_subcommand("delete", "make a token useless");
  remove_token->add_option("id", flags.id, "as `gateway token list` shows it")->required();
  OnRun(*remove_token, line, [&] { return DeleteJoinToken(line.context, flags); });
  CLI::App* remove = group->add_subcommand("remove", "refuse a gateway's certificates from now on, and end its stream");
  remove->add_option("name", flags.gateway, "gateway")->required();
  OnRun(*remove, line, [&] { return RemoveGateway(line.context, flags); });
}

}  // namespace gatehouse::cli
