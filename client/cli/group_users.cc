// user, lockouts.
#include "client/cli/groups.h"

namespace gatehouse::cli {

namespace {

void AddUserCommands(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("user", "look after the users of a user store");
  group->require_subcommand(1);
  UserFlags& flags = line.Make<UserFlags>();
  const auto command = [&](const char* name, const char* help, int (*run)(Context&, const UserFlags&)) {
    CLI::App* added = group->add_subcommand(name, help);
    added->add_option("store,--store", flags.store, "user store")->required();
    OnRun(*added, line, [&line, &flags, run] { return run(line.context, flags); });
    return added;
  };
  CLI::App* add = command("add", "add a user; asks for the password", AddUser);
  CLI::App* password = command("set-password", "change a user's password; asks for it", SetPassword);
  CLI::App* retire = command("retire-old-password", "end the time in which two passwords are valid", RetireOldPassword);
  CLI::App* enable = command("enable", "let a disabled user in again", EnableUser);
  CLI::App* disable = command("disable", "refuse a user from now on; running streams are cut", DisableUser);
  CLI::App* expire = command("expire", "refuse a user from a time on", ExpireUser);
  CLI::App* claims = command("claims", "change what is said about a user, or show it", ChangeClaims);
  CLI::App* remove = command("delete", "delete a user", DeleteUser)->alias("remove");
  CLI::App* show = command("show", "tell all about a user, passwords apart", ShowUser);
  CLI::App* list = command("list", "list the users by name", ListUsers);
  for (CLI::App* one : {add, password, retire, enable, disable, expire, claims, remove, show}) {
    one->add_option("user", flags.user, "user")->required();
  }
  for (CLI::App* one : {add, password, retire, enable, disable, expire, claims, remove}) {
    AddChangeFlags(*one, flags.change);
  }
  for (CLI::App* one : {add, password}) {
    one->add_flag("--password-stdin", flags.password_stdin, "read the password from standard input's first line");
  }
  add->add_option("--claim", flags.claims, "TYPE=VALUE, issued when the user is authenticated; repeatable");
  add->add_option("--expires", flags.expires, "refuse the user from this time on, e.g. 2027-01-31T12:00:00Z");
  add->add_flag("--disabled", flags.disabled, "refuse the user until `user enable`");
  password->add_flag("--keep-old", flags.keep_old_password, "the present password stays valid too");
  expire->add_option("time", flags.expires, "e.g. 2027-01-31T12:00:00Z, or never")->required();
  claims->add_option("--add", flags.claims, "TYPE=VALUE; repeatable");
  claims->add_option("--remove", flags.removed_claims, "TYPE=VALUE, or TYPE for all of that type; repeatable");
  claims->add_flag("--clear", flags.clear_claims, "remove all, before what is added");
  static const std::map<std::string, Output> kOutputs = {{"table", Output::kTable}, {"json", Output::kJson}};
  for (CLI::App* one : {show, list}) {
    AddOutput(*one, flags.output, kOutputs, "table or json");
  }
  UserFileFlags& file = line.Make<UserFileFlags>();
  const auto with_file = [&](const char* name, const char* help, int (*run)(Context&, const UserFileFlags&)) {
    CLI::App* added = group->add_subcommand(name, help);
    added->add_option("store,--store", file.store, "user store")->required();
    OnRun(*added, line, [&line, &file, run] { return run(line.context, file); });
    return added;
  };
  CLI::App* import = with_file("import", "add users and replace hashes from a file of htpasswd's format", ImportUsers);
  import->add_option("-f,--file", file.file, "the file, or - for standard input")->required();
  import->add_flag("--replace", file.replace, "delete users that are not in the file");
  import->add_flag("--allow-weak-hashes", file.allow_weak_hashes, "take $apr1$ and {SHA} too; see how-to/users.md");
  import->add_flag("--dry-run", file.dry_run, "show what would change, and change nothing");
  AddChangeFlags(*import, file.change);
  CLI::App* out = with_file("export", "write the hashes into a file of htpasswd's format; over the Unix socket only", ExportUsers);
  out->add_option("-f,--file", file.file, "the file to make, mode 600, or - for standard output")->required();
  out->add_flag("--include-disabled", file.include_disabled,
                "disabled and expired users too, who could log in where the file is used");
  out->add_flag("--force", file.force, "replace an existing file");

  static const std::map<std::string, Output> kTextOutputs = {{"text", Output::kTable}, {"json", Output::kJson}};
  UserExplainFlags& u = line.Make<UserExplainFlags>();
  CLI::App* explain = group->add_subcommand(
      "explain", "ask a gateway what a user with the right password would get on a route, and why");
  explain->add_option("user", u.user, "STORE/USER")->required();
  explain->add_option("--route", u.route, "route")->required();
  explain->add_option("--address", u.address, "address that the request comes from; default: not known");
  explain->add_option("--time", u.time, "as if it were then, e.g. 2027-01-31T12:00:00Z; default: now");
  explain->add_option("--gateway", u.gateway, "ask this gateway; default: any");
  AddOutput(*explain, u.output, kTextOutputs, "text or json");
  OnRun(*explain, line, [&] { return ExplainUser(line.context, u); });
}

void AddLockouts(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("lockouts", "whom gateways refuse for guessing passwords");
  group->require_subcommand(1);
  LockoutFlags& flags = line.Make<LockoutFlags>();
  CLI::App* list = group->add_subcommand("list", "tell who is delayed or locked out");
  CLI::App* clear = group->add_subcommand("clear", "forget failures, and let in again");
  for (CLI::App* command : {list, clear}) {
    command->add_option("--user", flags.user, "user, as the client sends it, or as the list shows it");
    command->add_option("--address", flags.address, "IP address, or IPv6 /64");
    command->add_option("--scheme", flags.scheme, "scheme");
    command->add_option("--gateway", flags.gateway, "ask this gateway; default: all that are connected");
    static const std::map<std::string, Output> kOutputs = {
        {"table", Output::kTable}, {"yaml", Output::kYaml}, {"json", Output::kJson}};
    AddOutput(*command, flags.output, kOutputs, "table, yaml or json");
  }
  list->add_flag("--all", flags.all, "also whose failures count, but who is not refused now");
  clear->add_flag("--all", flags.all, "everything");
  OnRun(*list, line, [&] { return ListLockouts(line.context, flags); });
  OnRun(*clear, line, [&] {
    const bool chosen = !flags.user.empty() || !flags.address.empty() || !flags.scheme.empty();
    if (chosen != flags.all) return ClearLockouts(line.context, flags);
    Fail(line.context, absl::InvalidArgumentError("say what to clear: --user, --address or --scheme, or else --all"));
    return static_cast<int>(kUsage);
  });
}

}  // namespace

void AddUsers(CLI::App& app, CommandLine& line) {
  AddUserCommands(app, line);
  AddLockouts(app, line);
}

}  // namespace gatehouse::cli
