// whoami, rotate-key.
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/output.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {

int WhoAmI(Context& context, const AccessFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::WhoAmIResponse> who = (*client)->WhoAmI();
  if (!who.ok()) return Fail(context, who.status());
  if (flags.json) return PrintJson(context, *who);
  std::string roles, bindings;
  for (int role : who->roles()) absl::StrAppend(&roles, " ", v1::Role_Name(role));
  for (const std::string& binding : who->bindings()) absl::StrAppend(&bindings, " ", EscapeText(binding));
  context.out() << EscapeText(who->caller()) << " from " << EscapeText(who->peer()) << "\n"
                << "roles   " << (roles.empty() ? " none: an owner can give you one with a Binding" : roles) << "\n";
  if (!bindings.empty()) context.out() << "bindings" << bindings << "\n";
  return kOk;
}

int RotateKey(Context& context, const AccessFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  int code = kOk;
  absl::StatusOr<v1::RotateKeyResponse> last = (*client)->RotateKey([&](const v1::RotateKeyResponse& step) {
    if (flags.json) {
      if (const int printed = PrintJson(context, step); printed != kOk) code = printed;
    } else if (!step.done()) {
      context.out() << step.sealed() << " of " << step.total() << " sealed" << std::endl;
    }
  });
  if (!last.ok()) return Fail(context, last.status());
  if (!flags.json) context.out() << "all " << last->total() << " secrets are sealed under key " << EscapeText(last->key_id()) << "\n";
  return code;
}

}  // namespace gatehouse::cli
