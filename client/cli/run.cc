#include "client/cli/run.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <ostream>

#include "client/cli/commands.h"
#include "client/cli/completion.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 done; 1 refused or invalid; 2 wrong usage; 3 not found; 4 conflict with another change or an\n"
    "existing name; 5 control plane unavailable; 6 permission denied; 7 stored, but not in force everywhere in time.\n";

// Flags and the action that the parse has chosen.
struct Parsed {
  Context context;
  std::function<int()> action;
  std::string color = "auto";
  double timeout_seconds = 30;
  ApplyFlags apply;
  GetFlags get;
  ExplainFieldsFlags explain_fields;
  RollbackFlags rollback;
  DeleteFlags remove;
  TrustStoreFlags trust_store;
  ServerCertificateFlags server_certificate;
  UserFlags user;
  UserFileFlags user_file;
  LockoutFlags lockouts;
  WatchFlags watch;
  MintFlags mint;
  ExplainFlags explain;
  UserExplainFlags user_explain;
  PolicyTestFlags policy;
  std::vector<std::string> files;
  ChangeFlags change;
  double wait_seconds = 10;
  int count = 20;
  bool json = false;
};

void AddChangeFlags(CLI::App& command, Parsed& p) {
  command.add_flag("--wait,!--no-wait", p.change.wait, "return once gateways have it in force (default)");
  command.add_option("--wait-timeout", p.wait_seconds, "seconds to wait for that; default 10")
      ->check(CLI::Range(0.001, 3600.0));
}

void AddMessageFlag(CLI::App& command, Parsed& p) {
  command.add_option("-m,--message", p.change.message, "note for the history");
}

void AddOutput(CLI::App& command, Parsed& p) {
  static const std::map<std::string, Output> kOutputs = {
      {"table", Output::kTable}, {"yaml", Output::kYaml}, {"json", Output::kJson}};
  command.add_option("-o,--output", p.get.output, "table, yaml or json; yaml and json can be applied again")
      ->transform(CLI::CheckedTransformer(kOutputs).description(""));
}

template <typename Action>
void OnRun(CLI::App& command, Parsed& p, Action action) {
  command.final_callback([&p, action] { p.action = action; });
}

void AddResources(CLI::App& app, Parsed& p) {
  CLI::App* apply = app.add_subcommand("apply", "make the configuration as files say; shows what changes first");
  apply->add_option("-f,--file", p.apply.files, "YAML or JSON file, or - for standard input; repeatable")->required();
  apply->add_flag("--dry-run", p.apply.dry_run, "show what would change, and change nothing");
  apply->add_flag("--replace-all", p.apply.replace_all, "delete what the files do not name");
  AddChangeFlags(*apply, p);
  AddMessageFlag(*apply, p);
  OnRun(*apply, p, [&p] {
    p.apply.change = p.change;
    return Apply(p.context, p.apply);
  });

  CLI::App* get = app.add_subcommand("get", "list resources of a kind, or print one");
  get->add_option("kind", p.get.kind, "route, scheme, trust-store, … or all")->required();
  get->add_option("name", p.get.name, "one of them");
  AddOutput(*get, p);
  OnRun(*get, p, [&p] { return Get(p.context, p.get); });

  CLI::App* describe = app.add_subcommand("describe", "tell all about a resource");
  describe->add_option("kind", p.get.kind, "route, scheme, trust-store, …")->required();
  describe->add_option("name", p.get.name, "one of them");
  OnRun(*describe, p, [&p] { return Describe(p.context, p.get); });

  CLI::App* explain = app.add_subcommand("explain", "tell what a kind or a field means, as in `explain route.require`");
  explain->add_option("kind.field", p.explain_fields.path, "default: the kinds");
  explain->add_flag("-r,--recursive", p.explain_fields.recursive, "names and types of all fields below");
  explain->add_flag("--markdown", p.explain_fields.markdown, "the whole API's reference");
  OnRun(*explain, p, [&p] { return ExplainFields(p.context, p.explain_fields); });

  CLI::App* remove = app.add_subcommand("delete", "delete a resource that nothing refers to");
  remove->add_option("kind", p.remove.kind, "route, scheme, trust-store, …")->required();
  remove->add_option("name", p.remove.name, "its name")->required();
  AddChangeFlags(*remove, p);
  AddMessageFlag(*remove, p);
  OnRun(*remove, p, [&p] {
    p.remove.change = p.change;
    return Delete(p.context, p.remove);
  });
}

void AddTrustStore(CLI::App& app, Parsed& p) {
  CLI::App* group = app.add_subcommand("trust-store", "look after what is trusted; `describe trust-store` lists it");
  group->require_subcommand(1);
  TrustStoreFlags& flags = p.trust_store;
  CLI::App* add = group->add_subcommand("add-cert", "add certificates of files: PEM, DER, PKCS#7 or PFX");
  CLI::App* remove = group->add_subcommand("remove-cert", "trust certificates no longer, in whatever role");
  CLI::App* replace = group->add_subcommand("replace-cert", "put one certificate in the place of another");
  CLI::App* add_crl = group->add_subcommand("add-crl", "add revocation lists; each takes the place of its predecessor");
  CLI::App* remove_crl = group->add_subcommand("remove-crl", "remove revocation lists");
  CLI::App* roots = group->add_subcommand("system-roots", "trust the operating system's authorities too, or not");
  for (CLI::App* command : {add, remove, replace, add_crl, remove_crl, roots}) {
    command->add_option("name", flags.name, "trust store")->required();
    AddChangeFlags(*command, p);
    AddMessageFlag(*command, p);
  }
  // `--from FILE` says the same as FILE.
  add->add_option("file,--from", flags.files, "files; keys in them are not read")->required();
  add->add_option("--as", flags.as,
                  "anchor: may issue, is never accepted itself; pin: the other way round; intermediate: helps to build paths")
      ->required()
      ->check(CLI::IsMember({"anchor", "pin", "intermediate"}));
  add->add_option("--comment", flags.comment, "note beside a pin");
  remove->add_option("file", flags.files, "files");
  remove->add_option("--sha256", flags.sha256, "SHA-256 of a certificate, or of a pinned key, hex");
  replace->add_option("old", flags.replaced, "file or SHA-256 of the certificate that goes")->required();
  replace->add_option("new", flags.files, "file of the one that comes")->required()->expected(1);
  replace->add_flag("--keep-old", flags.keep_old, "trust both for a time, side by side");
  add_crl->add_option("file", flags.files, "PEM or DER files")->required();
  remove_crl->add_option("file", flags.files, "PEM or DER files");
  remove_crl->add_option("--sha256", flags.sha256, "SHA-256 of a list, hex");
  roots->add_option("state", flags.as, "on or off")->required()->check(CLI::IsMember({"on", "off"}));
  for (CLI::App* command : {add, remove, replace}) {
    command->add_flag("--password-stdin", flags.password_stdin, "a PFX's password is standard input's first line");
  }
  auto run = [&p](int (*command)(Context&, const TrustStoreFlags&)) {
    return [&p, command] {
      p.trust_store.change = p.change;
      return command(p.context, p.trust_store);
    };
  };
  auto named = [&p, run](int (*command)(Context&, const TrustStoreFlags&)) {
    return [&p, then = run(command)] {
      if (!p.trust_store.files.empty() || !p.trust_store.sha256.empty()) return then();
      Fail(p.context, absl::InvalidArgumentError("name what goes: a file or --sha256"));
      return static_cast<int>(kUsage);
    };
  };
  OnRun(*add, p, run(AddCertificates));
  OnRun(*remove, p, named(RemoveCertificates));
  OnRun(*replace, p, run(ReplaceCertificate));
  OnRun(*add_crl, p, run(AddCrls));
  OnRun(*remove_crl, p, named(RemoveCrls));
  OnRun(*roots, p, run(SetSystemRoots));
}

void AddServerCertificate(CLI::App& app, Parsed& p) {
  CLI::App* group = app.add_subcommand("server-certificate", "what listeners present");
  group->require_subcommand(1);
  ServerCertificateFlags& flags = p.server_certificate;
  CLI::App* set = group->add_subcommand("set", "create or replace a server certificate");
  set->add_option("name", flags.name, "server certificate")->required();
  CLI::Option* pfx = set->add_option("--pfx", flags.pfx, "PFX file with chain and key, under a password that is asked for");
  set->add_flag("--password-stdin", flags.password_stdin, "it is standard input's first line")->needs(pfx);
  CLI::Option* chain = set->add_option("--chain", flags.chain, "PEM file: leaf first, then intermediates");
  CLI::Option* key = set->add_option("--private-key", flags.key, "PEM file with the unencrypted key");
  CLI::Option* chain_path = set->add_option("--chain-path", flags.chain_path, "file on the gateways, read and watched there");
  CLI::Option* key_path = set->add_option("--private-key-path", flags.key_path, "the same for the key");
  chain->needs(key)->excludes(pfx)->excludes(chain_path);
  key->needs(chain);
  chain_path->needs(key_path)->excludes(pfx);
  key_path->needs(chain_path);
  AddChangeFlags(*set, p);
  AddMessageFlag(*set, p);
  OnRun(*set, p, [&p] {
    ServerCertificateFlags& f = p.server_certificate;
    if (f.pfx.empty() && f.chain.empty() && f.chain_path.empty()) {
      Fail(p.context, absl::InvalidArgumentError("say where it is: --pfx, --chain with --private-key, or --chain-path "
                                                 "with --private-key-path"));
      return static_cast<int>(kUsage);
    }
    f.change = p.change;
    return SetServerCertificate(p.context, f);
  });
}

void AddUsers(CLI::App& app, Parsed& p) {
  CLI::App* group = app.add_subcommand("user", "look after the users of a user store");
  group->require_subcommand(1);
  UserFlags& flags = p.user;
  const auto command = [&](const char* name, const char* help, int (*run)(Context&, const UserFlags&)) {
    CLI::App* added = group->add_subcommand(name, help);
    added->add_option("store,--store", flags.store, "user store")->required();
    OnRun(*added, p, [&p, run] {
      p.user.change = p.change;
      return run(p.context, p.user);
    });
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
    AddChangeFlags(*one, p);
    AddMessageFlag(*one, p);
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
    one->add_option("-o,--output", flags.output, "table or json")
        ->transform(CLI::CheckedTransformer(kOutputs).description(""));
  }
  UserFileFlags& file = p.user_file;
  const auto with_file = [&](const char* name, const char* help, int (*run)(Context&, const UserFileFlags&)) {
    CLI::App* added = group->add_subcommand(name, help);
    added->add_option("store,--store", file.store, "user store")->required();
    OnRun(*added, p, [&p, run] {
      p.user_file.change = p.change;
      return run(p.context, p.user_file);
    });
    return added;
  };
  CLI::App* import = with_file("import", "add users and replace hashes from a file of htpasswd's format", ImportUsers);
  import->add_option("-f,--file", file.file, "the file, or - for standard input")->required();
  import->add_flag("--replace", file.replace, "delete users that are not in the file");
  import->add_flag("--allow-weak-hashes", file.allow_weak_hashes, "take $apr1$ and {SHA} too; see how-to/users.md");
  import->add_flag("--dry-run", file.dry_run, "show what would change, and change nothing");
  AddChangeFlags(*import, p);
  AddMessageFlag(*import, p);
  CLI::App* out = with_file("export", "write the hashes into a file of htpasswd's format; over the Unix socket only", ExportUsers);
  out->add_option("-f,--file", file.file, "the file to make, mode 600, or - for standard output")->required();
  out->add_flag("--include-disabled", file.include_disabled,
                "disabled and expired users too, who could log in where the file is used");
  out->add_flag("--force", file.force, "replace an existing file");
}

void AddLockouts(CLI::App& app, Parsed& p) {
  CLI::App* group = app.add_subcommand("lockouts", "whom gateways refuse for guessing passwords");
  group->require_subcommand(1);
  LockoutFlags& flags = p.lockouts;
  CLI::App* list = group->add_subcommand("list", "tell who is delayed or locked out");
  CLI::App* clear = group->add_subcommand("clear", "forget failures, and let in again");
  for (CLI::App* command : {list, clear}) {
    command->add_option("--user", flags.user, "user, as the client sends it, or as the list shows it");
    command->add_option("--address", flags.address, "IP address, or IPv6 /64");
    command->add_option("--scheme", flags.scheme, "scheme");
    command->add_option("--gateway", flags.gateway, "ask this gateway; default: all that are connected");
    static const std::map<std::string, Output> kOutputs = {
        {"table", Output::kTable}, {"yaml", Output::kYaml}, {"json", Output::kJson}};
    command->add_option("-o,--output", flags.output, "table, yaml or json")
        ->transform(CLI::CheckedTransformer(kOutputs).description(""));
  }
  list->add_flag("--all", flags.all, "also whose failures count, but who is not refused now");
  clear->add_flag("--all", flags.all, "everything");
  OnRun(*list, p, [&p] { return ListLockouts(p.context, p.lockouts); });
  OnRun(*clear, p, [&p] {
    const LockoutFlags& f = p.lockouts;
    const bool chosen = !f.user.empty() || !f.address.empty() || !f.scheme.empty();
    if (chosen != f.all) return ClearLockouts(p.context, f);
    Fail(p.context, absl::InvalidArgumentError("say what to clear: --user, --address or --scheme, or else --all"));
    return static_cast<int>(kUsage);
  });
}

void AddEvents(CLI::App& app, Parsed& p) {
  CLI::App* group = app.add_subcommand("events", "see what happens");
  group->require_subcommand(1);
  CLI::App* watch = group->add_subcommand("watch", "print events as they happen; JSON lines in a pipe");
  watch->add_option("--outcome", p.watch.outcomes, "allowed, refused, cut, notice; repeatable");
  watch->add_option("--reason", p.watch.reasons, "e.g. expired, unknown_issuer; repeatable");
  watch->add_option("--type", p.watch.types, "decision, handshake, trust, config, gateway, audit, expiry, guessing; repeatable");
  watch->add_option("--route", p.watch.routes, "route's name; repeatable");
  watch->add_option("--scheme", p.watch.schemes, "scheme's name; repeatable");
  watch->add_option("--gateway", p.watch.gateways, "gateway's name; repeatable");
  watch->add_option("--principal", p.watch.principals, "exact principal; repeatable");
  watch->add_option("--since", p.watch.since, "INCARNATION:SEQUENCE: first what happened after that event");
  watch->add_option("--count", p.watch.count, "end after this many events");
  CLI::Option* json = watch->add_flag("--json", p.watch.json, "JSON lines on a terminal too");
  watch->add_flag("--text", p.watch.text, "text in a pipe too")->excludes(json);
  OnRun(*watch, p, [&p] { return WatchEvents(p.context, p.watch); });
}

void AddCertificates(CLI::App& app, Parsed& p) {
  CLI::App* group = app.add_subcommand("cert", "make, show and explain certificates");
  group->require_subcommand(1);
  CLI::App* mint = group->add_subcommand("new", "make a key and a certificate");
  mint->add_option("profile", p.mint.profile, "self-signed, ca, intermediate or leaf")
      ->required()
      ->check(CLI::IsMember({"self-signed", "ca", "intermediate", "leaf"}));
  mint->add_option("--subject", p.mint.subject, "RFC 4514, e.g. CN=alice,O=Example")->required();
  mint->add_option("--key", p.mint.key_type, "rsa2048, rsa3072, rsa4096, p256, p384 or ed25519; default p256");
  mint->add_option("--san", p.mint.sans, "dns:…, email:…, uri:…, ip:… or upn:…; repeatable");
  mint->add_option("--eku", p.mint.eku, "client, server, both or none; default client")
      ->check(CLI::IsMember({"client", "server", "both", "none"}));
  mint->add_option("--days", p.mint.days, "validity; default leaf 90, self-signed 365, intermediate 1825, ca 3650");
  mint->add_option("--ca", p.mint.issuer_certificate, "issuer's certificate, with its chain, PEM");
  mint->add_option("--ca-key", p.mint.issuer_key, "issuer's key, PEM");
  mint->add_option("--out", p.mint.out, "PEM file for the certificate and its intermediates");
  mint->add_option("--key-out", p.mint.key_out, "PEM file for the private key, mode 600");
  mint->add_option("--pfx", p.mint.pfx_out, "PFX (PKCS #12) file with both, under a password that is asked for");
  CLI::Option* from_stdin =
      mint->add_flag("--pfx-password-stdin", p.mint.pfx_password_stdin, "read it from standard input's first line");
  mint->add_option("--pfx-password-file", p.mint.pfx_password_file, "read it from a file's first line")
      ->excludes(from_stdin);
  mint->add_flag("--force", p.mint.force, "replace existing files");
  OnRun(*mint, p, [&p] { return NewCertificate(p.context, p.mint); });

  CLI::App* show = group->add_subcommand("show", "describe the certificates of files");
  show->add_option("file", p.files, "PEM or DER, or -")->required();
  OnRun(*show, p, [&p] { return ShowCertificates(p.context, p.files); });

  CLI::App* explain = group->add_subcommand("explain", "ask a gateway how it would judge a certificate, and why");
  ExplainFlags& e = p.explain;
  CLI::Option* chain = explain->add_option(
      "--chain", e.chain, "what a client would send, leaf first: PEM, DER, PKCS#7, PFX, or -; keys in it are not read");
  explain->add_option("--key", e.key, "the client's key, PEM: tells here whether it fits, is never sent");
  explain->add_flag("--password-stdin", e.password_stdin, "a PFX's password is standard input's first line");
  explain->add_option("--from-event", e.event, "what was refused then: INCARNATION:SEQUENCE or a request id")
      ->excludes(chain);
  CLI::Option* scheme = explain->add_option("--scheme", e.scheme, "judge by this scheme; default: every one");
  CLI::Option* route = explain->add_option("--route", e.route, "judge as on this route")->excludes(scheme);
  explain->add_option("--listener", e.listener, "judge by what is reachable through this listener")
      ->excludes(scheme)
      ->excludes(route);
  explain->add_option("--gateway", e.gateway, "ask this gateway; default: any");
  explain->add_option("--at", e.at, "judge as if it were then, e.g. 2027-01-31T12:00:00Z");
  explain->add_option("--address", e.address, "address that the request comes from, for the route's policies");
  explain->add_flag("--offline", e.offline, "from the gateway's memory: ask no responder");
  static const std::map<std::string, Output> kOutputs = {{"text", Output::kTable}, {"json", Output::kJson}};
  explain->add_option("-o,--output", e.output, "text or json")
      ->transform(CLI::CheckedTransformer(kOutputs).description(""));
  OnRun(*explain, p, [&p] { return Explain(p.context, p.explain); });
}

void AddPolicies(CLI::App& app, Parsed& p) {
  static const std::map<std::string, Output> kOutputs = {{"text", Output::kTable}, {"json", Output::kJson}};
  CLI::App* group = app.add_subcommand("policy", "try policies out");
  group->require_subcommand(1);
  CLI::App* test = group->add_subcommand("test", "tell whether a policy holds, clause by clause; exit code 0 met, 1 not met");
  PolicyTestFlags& t = p.policy;
  test->add_option("name", t.name, "policy; with --file and one policy in it not needed");
  test->add_option("-f,--file", t.file, "take policies from this file, in the place of stored ones of their names; or -");
  test->add_option("--claims", t.claims, "the caller's claims, YAML or JSON: a list of {type, value, issuer, scheme}; or -");
  test->add_option("--address", t.address, "address that the request comes from; default: not known");
  test->add_option("--time", t.time, "as if it were then, e.g. 2027-01-31T12:00:00Z; default: now");
  CLI::Option* certificate =
      test->add_option("--certificate", t.certificate, "a certificate that is taken to have been accepted, PEM or DER");
  test->add_option("--certificate-scheme", t.certificate_scheme, "by this scheme; default: the only one, else Certificate")
      ->needs(certificate);
  test->add_option("-o,--output", t.output, "text or json")->transform(CLI::CheckedTransformer(kOutputs).description(""));
  OnRun(*test, p, [&p] { return TestPolicy(p.context, p.policy); });

  CLI::App* user = app.get_subcommand("user")->add_subcommand(
      "explain", "ask a gateway what a user with the right password would get on a route, and why");
  UserExplainFlags& u = p.user_explain;
  user->add_option("user", u.user, "STORE/USER")->required();
  user->add_option("--route", u.route, "route")->required();
  user->add_option("--address", u.address, "address that the request comes from; default: not known");
  user->add_option("--time", u.time, "as if it were then, e.g. 2027-01-31T12:00:00Z; default: now");
  user->add_option("--gateway", u.gateway, "ask this gateway; default: any");
  user->add_option("-o,--output", u.output, "text or json")->transform(CLI::CheckedTransformer(kOutputs).description(""));
  OnRun(*user, p, [&p] { return ExplainUser(p.context, p.user_explain); });
}

void AddState(CLI::App& app, Parsed& p) {
  CLI::App* history = app.add_subcommand("history", "list changes, newest first: who, when, what");
  history->add_option("-n,--count", p.count, "at most this many; default 20")->check(CLI::Range(1, 1000000));
  history->add_flag("--json", p.json, "JSON lines");
  OnRun(*history, p, [&p] { return ShowHistory(p.context, p.count, p.json); });
  CLI::App* rollback = app.add_subcommand("rollback", "make the configuration what it was at a revision; shows what changes first");
  rollback->add_option("revision", p.rollback.revision, "as `history` lists them")->required()->check(CLI::NonNegativeNumber);
  rollback->add_flag("--restore-trust", p.rollback.restore_trust, "trust stores and schemes too: who was kept out since may get in again");
  rollback->add_flag("--dry-run", p.rollback.dry_run, "show what would change, and change nothing");
  AddChangeFlags(*rollback, p);
  AddMessageFlag(*rollback, p);
  OnRun(*rollback, p, [&p] {
    p.rollback.change = p.change;
    return Rollback(p.context, p.rollback);
  });
  CLI::App* status = app.add_subcommand("status", "tell how the control plane and its gateways are");
  status->add_flag("--json", p.json, "JSON");
  OnRun(*status, p, [&p] { return ShowStatus(p.context, p.json); });
  CLI::App* version = app.add_subcommand("version", "print the version");
  OnRun(*version, p, [&p] {
    p.context.out() << "gatehousectl " << GATEHOUSE_VERSION << "\n";
    return static_cast<int>(kOk);
  });
}

void AddGlobal(CLI::App& app, Parsed& p) {
  ConnectionFlags& connection = p.context.connection;
  app.add_option("-s,--server", connection.server,
                 "unix:/path or host:port; default $GATEHOUSE_SERVER, else the local gatehouse's socket");
  app.add_option("--ca", connection.tls.ca, "authorities of a host:port server, PEM");
  app.add_option("--cert", connection.tls.certificate, "our certificate for it, PEM");
  app.add_option("--key", connection.tls.key, "our key for it, PEM");
  app.add_option("--tls-server-name", connection.tls.server_name, "name in its certificate, if not the host");
  app.add_flag("--insecure-loopback", connection.insecure_loopback, "no TLS; this machine only");
  app.add_option("--timeout", p.timeout_seconds, "seconds for a call; default 30")->check(CLI::Range(0.001, 3600.0));
  app.add_option("--color", p.color, "auto, always or never")->check(CLI::IsMember({"auto", "always", "never"}));
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
    for (const std::string& word : at->remaining()) {
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

}  // namespace

int Run(const std::vector<std::string>& arguments, const Streams& streams) {
  auto parsed = std::make_unique<Parsed>();
  parsed->context.streams = streams;
  CLI::App app("Command line client of the Gatehouse authentication gateway.", "gatehousectl");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* a, const CLI::Error& e) {
    return "error: " + CLI::FailureMessage::simple(a, e);
  });
  app.set_help_all_flag("--help-all", "help of every command");
  AddGlobal(app, *parsed);
  AddResources(app, *parsed);
  AddTrustStore(app, *parsed);
  AddServerCertificate(app, *parsed);
  AddUsers(app, *parsed);
  AddPolicies(app, *parsed);
  AddLockouts(app, *parsed);
  AddEvents(app, *parsed);
  AddCertificates(app, *parsed);
  AddState(app, *parsed);
  CLI::App* completion = app.add_subcommand("completion", "print a completion script: `source <(gatehousectl completion)`");
  OnRun(*completion, *parsed, [&app, &parsed] {
    parsed->context.out() << BashCompletion(app);
    return static_cast<int>(kOk);
  });

  // CLI11 takes the arguments last first.
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    return Tell(app, e, streams);
  }
  const bool plain = std::getenv("NO_COLOR") != nullptr;
  parsed->context.color = parsed->color == "always" || (parsed->color == "auto" && streams.out_is_terminal && !plain);
  parsed->context.error_color =
      parsed->color == "always" || (parsed->color == "auto" && streams.err_is_terminal && !plain);
  parsed->change.timeout = absl::Seconds(parsed->wait_seconds);
  parsed->context.connection.timeout = absl::Seconds(parsed->timeout_seconds);
  int code = parsed->action();
  streams.out->flush();
  return code;
}

}  // namespace gatehouse::cli
