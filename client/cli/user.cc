// user add, remove, set-password. The server hashes.
#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

absl::StatusOr<v1::User> UserOf(const UserFlags& flags) {
  v1::User user;
  user.set_name(flags.user);
  for (const std::string& claim : flags.claims) {
    size_t equals = claim.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(absl::StrCat("--claim: not TYPE=VALUE: \"", claim, "\""));
    }
    v1::UserClaim& added = *user.add_claims();
    added.set_type(claim.substr(0, equals));
    added.set_value(claim.substr(equals + 1));
  }
  if (!flags.expires.empty()) {
    GH_ASSIGN_OR_RETURN(absl::Time time, ParseTimeFlag("--expires", flags.expires));
    user.mutable_expire_time()->set_seconds(absl::ToUnixSeconds(time));
  }
  return user;
}

std::string Name(const UserFlags& flags) {
  return absl::StrCat("userStores/", EscapeText(flags.store), "   user ", EscapeText(flags.user));
}

}  // namespace

int AddUser(Context& context, const UserFlags& flags) {
  absl::StatusOr<v1::User> user = UserOf(flags);
  if (!user.ok()) return Fail(context, user.status());
  absl::StatusOr<Secret> password =
      ReadPassword(context, flags.password_stdin, absl::StrCat("password of ", EscapeText(flags.user)));
  if (!password.ok()) return Fail(context, password.status());
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  auto response = (*client)->SetUser(flags.store, *user, *password, false, true, flags.change.Options());
  if (!response.ok()) return Fail(context, response.status());
  context.out() << Style(context.color).Green("+") << " " << Name(flags) << " added\n";
  return FinishChange(context, *response, flags.change);
}

int SetPassword(Context& context, const UserFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  // SetUser replaces the user's other fields: send them as they are stored.
  absl::StatusOr<v1::Resource> store = (*client)->Get(v1::USER_STORE, flags.store);
  if (!store.ok()) return Fail(context, store.status());
  const v1::User* found = nullptr;
  for (const v1::User& user : store->user_store().users()) {
    if (user.name() == flags.user) found = &user;
  }
  if (found == nullptr) {
    return Fail(context, absl::NotFoundError(absl::StrCat("userStores/", flags.store, " has no user ", flags.user)));
  }
  absl::StatusOr<Secret> password =
      ReadPassword(context, flags.password_stdin, absl::StrCat("new password of ", EscapeText(flags.user)));
  if (!password.ok()) return Fail(context, password.status());
  auto response =
      (*client)->SetUser(flags.store, *found, *password, flags.keep_old_password, false, flags.change.Options());
  if (!response.ok()) return Fail(context, response.status());
  context.out() << Style(context.color).Yellow("~") << " " << Name(flags) << " has a new password\n";
  return FinishChange(context, *response, flags.change);
}

int RemoveUser(Context& context, const UserFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  auto response = (*client)->DeleteUser(flags.store, flags.user, flags.change.Options());
  if (!response.ok()) return Fail(context, response.status());
  context.out() << Style(context.color).Red("-") << " " << Name(flags) << " removed\n";
  return FinishChange(context, *response, flags.change);
}

}  // namespace gatehouse::cli
