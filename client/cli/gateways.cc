// gateway token create|list|delete, gateway remove.
#include <cmath>
#include <ostream>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/style.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {

int CreateJoinToken(Context& context, const GatewayFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  v1::CreateJoinTokenRequest request;
  request.set_gateway(flags.gateway);
  request.mutable_lifetime()->set_seconds(static_cast<int64_t>(std::ceil(flags.lifetime_seconds)));
  absl::StatusOr<v1::CreateJoinTokenResponse> made = (*client)->CreateJoinToken(request);
  if (!made.ok()) return Fail(context, made.status());
  if (flags.json) return PrintJson(context, *made);
  // The token alone on standard output, for scripts.
  context.err() << "good once, until " << DateText(made->info().expires()) << ", for "
                << (flags.gateway.empty() ? "a gateway of any new name" : EscapeText(flags.gateway))
                << "; not shown again:\n";
  context.out() << made->token() << "\n";
  return kOk;
}

int ListJoinTokens(Context& context, const GatewayFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::ListJoinTokensResponse> list = (*client)->ListJoinTokens();
  if (!list.ok()) return Fail(context, list.status());
  if (flags.json) return PrintJson(context, *list);
  std::vector<std::vector<std::string>> rows;
  for (const v1::JoinToken& token : list->tokens()) {
    rows.push_back({EscapeText(token.id()), token.gateway().empty() ? "any new" : EscapeText(token.gateway()),
                    DateText(token.expires()), EscapeText(token.created_by())});
  }
  PrintTable({"ID", "GATEWAY", "EXPIRES", "MADE BY"}, rows, Style(context.color), context.out());
  return kOk;
}

int DeleteJoinToken(Context& context, const GatewayFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::Status deleted = (*client)->DeleteJoinToken(flags.id);
  if (!deleted.ok()) return Fail(context, deleted);
  context.out() << "- token " << EscapeText(flags.id) << "\n";
  return kOk;
}

int RemoveGateway(Context& context, const GatewayFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::Status removed = (*client)->RemoveGateway(flags.gateway);
  if (!removed.ok()) return Fail(context, removed);
  context.out() << "- gateway " << EscapeText(flags.gateway) << ": its certificates are refused from now on\n";
  return kOk;
}

}  // namespace gatehouse::cli
