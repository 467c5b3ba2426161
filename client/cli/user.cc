// user add, set-password, retire-old-password, enable, disable, expire, claims, delete, show, list. The server hashes.
#include <algorithm>
#include <functional>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

constexpr int kAttempts = 4;

absl::StatusOr<v1::UserClaim> ParseClaim(absl::string_view flag, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": not TYPE=VALUE: \"", EscapeText(text), "\""));
  }
  v1::UserClaim claim;
  claim.set_type(text.substr(0, equals));
  claim.set_value(text.substr(equals + 1));
  return claim;
}

std::string Name(const UserFlags& flags) {
  return absl::StrCat("userStores/", EscapeText(flags.store), "   user ", EscapeText(flags.user));
}

v1::SetUserRequest RequestOf(const UserFlags& flags) {
  v1::SetUserRequest request;
  request.set_user_store(flags.store);
  request.mutable_user()->set_name(flags.user);
  return request;
}

// Sends a change and tells of it: `what` is what came of it.
int Send(Context& context, const UserFlags& flags, const v1::SetUserRequest& request, const Secret& password,
         const std::string& sign, absl::string_view what) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  auto response = (*client)->SetUser(request, password, flags.change.Options());
  if (!response.ok()) return Fail(context, response.status());
  context.out() << sign << " " << Name(flags) << " " << what << "\n";
  return FinishChange(context, *response, flags.change);
}

std::string Changed(const Context& context) { return Style(context.color).Yellow("~"); }

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(time.seconds()), absl::UTCTimeZone());
}

bool IsExpired(const v1::User& user) {
  return user.has_expire_time() && absl::FromUnixSeconds(user.expire_time().seconds()) <= absl::Now();
}

std::string StateText(const v1::User& user, const Style& style) {
  if (user.disabled()) return style.Red("disabled");
  if (IsExpired(user)) return style.Red(absl::StrCat("expired ", TimeText(user.expire_time())));
  return user.has_expire_time() ? absl::StrCat("until ", TimeText(user.expire_time())) : "enabled";
}

std::string PasswordText(const v1::StoredPassword& password, const Style& style) {
  std::string text = absl::StrCat(password.algorithm(), " (", password.cost(), ")");
  return password.weaker() ? absl::StrCat(text, " ", style.Yellow("weaker than new ones")) : text;
}

std::string ClaimText(const v1::UserClaim& claim) {
  return absl::StrCat(EscapeText(claim.type()), "=", EscapeText(claim.value()));
}

bool Matches(const v1::UserClaim& claim, const std::string& removed) {
  return claim.type() == removed || absl::StrCat(claim.type(), "=", claim.value()) == removed;
}

// The claims of `user` as the flags want them.
absl::Status EditClaims(const UserFlags& flags, v1::User& user) {
  if (flags.clear_claims) user.clear_claims();
  auto* claims = user.mutable_claims();
  for (const std::string& removed : flags.removed_claims) {
    auto gone = std::remove_if(claims->begin(), claims->end(),
                               [&](const v1::UserClaim& claim) { return Matches(claim, removed); });
    if (gone == claims->end()) {
      return absl::NotFoundError(absl::StrCat("--remove: ", EscapeText(flags.user), " has no claim ",
                                              EscapeText(removed)));
    }
    claims->erase(gone, claims->end());
  }
  for (const std::string& text : flags.claims) {
    GH_ASSIGN_OR_RETURN(v1::UserClaim claim, ParseClaim("--add", text));
    const bool there = std::any_of(claims->begin(), claims->end(), [&](const v1::UserClaim& known) {
      return known.type() == claim.type() && known.value() == claim.value();
    });
    if (!there) *claims->Add() = std::move(claim);
  }
  return absl::OkStatus();
}

int SetDisabled(Context& context, const UserFlags& flags, bool disabled) {
  v1::SetUserRequest request = RequestOf(flags);
  request.mutable_user()->set_disabled(disabled);
  request.mutable_update_mask()->add_paths("disabled");
  return Send(context, flags, request, Secret(), Changed(context), disabled ? "disabled" : "enabled");
}

}  // namespace

int AddUser(Context& context, const UserFlags& flags) {
  v1::SetUserRequest request = RequestOf(flags);
  request.set_create_only(true);
  v1::User& user = *request.mutable_user();
  user.set_disabled(flags.disabled);
  for (const std::string& text : flags.claims) {
    absl::StatusOr<v1::UserClaim> claim = ParseClaim("--claim", text);
    if (!claim.ok()) return Fail(context, claim.status());
    *user.add_claims() = *std::move(claim);
  }
  if (!flags.expires.empty()) {
    absl::StatusOr<absl::Time> time = ParseTimeFlag("--expires", flags.expires);
    if (!time.ok()) return Fail(context, time.status());
    user.mutable_expire_time()->set_seconds(absl::ToUnixSeconds(*time));
  }
  absl::StatusOr<Secret> password =
      ReadPassword(context, flags.password_stdin, absl::StrCat("password of ", EscapeText(flags.user)));
  if (!password.ok()) return Fail(context, password.status());
  return Send(context, flags, request, *password, Style(context.color).Green("+"), "added");
}

int SetPassword(Context& context, const UserFlags& flags) {
  absl::StatusOr<Secret> password =
      ReadPassword(context, flags.password_stdin, absl::StrCat("new password of ", EscapeText(flags.user)));
  if (!password.ok()) return Fail(context, password.status());
  v1::SetUserRequest request = RequestOf(flags);
  request.mutable_update_mask()->add_paths("password");
  request.set_keep_old_password(flags.keep_old_password);
  return Send(context, flags, request, *password, Changed(context),
              flags.keep_old_password ? "has a new password; the old one is valid, too, until `user retire-old-password`"
                                      : "has a new password");
}

int RetireOldPassword(Context& context, const UserFlags& flags) {
  v1::SetUserRequest request = RequestOf(flags);
  request.set_retire_old_password(true);
  return Send(context, flags, request, Secret(), Changed(context), "has one valid password now");
}

int EnableUser(Context& context, const UserFlags& flags) { return SetDisabled(context, flags, false); }
int DisableUser(Context& context, const UserFlags& flags) { return SetDisabled(context, flags, true); }

int ExpireUser(Context& context, const UserFlags& flags) {
  v1::SetUserRequest request = RequestOf(flags);
  request.mutable_update_mask()->add_paths("expire_time");
  if (flags.expires == "never") {
    return Send(context, flags, request, Secret(), Changed(context), "does not expire");
  }
  absl::StatusOr<absl::Time> time = ParseTimeFlag("time", flags.expires);
  if (!time.ok()) return Fail(context, time.status());
  request.mutable_user()->mutable_expire_time()->set_seconds(absl::ToUnixSeconds(*time));
  return Send(context, flags, request, Secret(), Changed(context),
              absl::StrCat(*time <= absl::Now() ? "has expired at " : "expires at ",
                           TimeText(request.user().expire_time())));
}

int ChangeClaims(Context& context, const UserFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  const bool shows = flags.claims.empty() && flags.removed_claims.empty() && !flags.clear_claims;
  absl::Status conflict;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    absl::StatusOr<v1::StoredUser> stored = (*client)->GetUser(flags.store, flags.user);
    if (!stored.ok()) return Fail(context, stored.status());
    if (shows) {
      for (const v1::UserClaim& claim : stored->user().claims()) context.out() << ClaimText(claim) << "\n";
      return kOk;
    }
    v1::SetUserRequest request = RequestOf(flags);
    request.set_etag(stored->etag());
    request.mutable_update_mask()->add_paths("claims");
    *request.mutable_user()->mutable_claims() = stored->user().claims();
    if (absl::Status edited = EditClaims(flags, *request.mutable_user()); !edited.ok()) return Fail(context, edited);
    auto response = (*client)->SetUser(request, Secret(), flags.change.Options());
    if (response.ok()) {
      context.out() << Changed(context) << " " << Name(flags) << " has " << request.user().claims_size() << " claims\n";
      return FinishChange(context, *response, flags.change);
    }
    if (!absl::IsAborted(response.status())) return Fail(context, response.status());
    conflict = response.status();
  }
  return Fail(context, conflict);
}

int DeleteUser(Context& context, const UserFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  auto response = (*client)->DeleteUser(flags.store, flags.user, "", flags.change.Options());
  if (!response.ok()) return Fail(context, response.status());
  context.out() << Style(context.color).Red("-") << " " << Name(flags) << " removed\n";
  return FinishChange(context, *response, flags.change);
}

int ShowUser(Context& context, const UserFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::StoredUser> stored = (*client)->GetUser(flags.store, flags.user);
  if (!stored.ok()) return Fail(context, stored.status());
  if (flags.output == Output::kJson) return PrintJson(context, *stored);
  const Style style(context.color);
  std::ostream& out = context.out();
  out << Name(flags) << "\n  state      " << StateText(stored->user(), style) << "\n";
  const char* label = "password   ";
  for (const v1::StoredPassword& password : stored->passwords()) {
    out << "  " << label << PasswordText(password, style) << "\n";
    label = "and        ";
  }
  label = "claims     ";
  for (const v1::UserClaim& claim : stored->user().claims()) {
    out << "  " << label << ClaimText(claim) << "\n";
    label = "           ";
  }
  return kOk;
}

int ListUsers(Context& context, const UserFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  const Style style(context.color);
  std::vector<std::vector<std::string>> rows;
  client::Pages<v1::StoredUser> pages = (*client)->ListUsers(flags.store);
  while (true) {
    absl::StatusOr<std::optional<v1::StoredUser>> next = pages.Next();
    if (!next.ok()) return Fail(context, next.status());
    if (!next->has_value()) break;
    const v1::StoredUser& stored = **next;
    if (flags.output == Output::kJson) {  // lines: a store may be large
      PrintJson(context, stored);
      continue;
    }
    std::vector<std::string> passwords;
    for (const v1::StoredPassword& password : stored.passwords()) passwords.push_back(PasswordText(password, style));
    std::vector<std::string> claims;
    for (const v1::UserClaim& claim : stored.user().claims()) claims.push_back(ClaimText(claim));
    rows.push_back({EscapeText(stored.user().name()), StateText(stored.user(), style), absl::StrJoin(passwords, ", "),
                    absl::StrJoin(claims, " ")});
  }
  if (flags.output == Output::kJson) return kOk;
  if (rows.empty()) {
    context.err() << "there are none\n";
    return kOk;
  }
  PrintTable({"USER", "STATE", "PASSWORDS", "CLAIMS"}, rows, style, context.out());
  return kOk;
}

}  // namespace gatehouse::cli
