// trust-store, server-certificate.
#include "client/cli/groups.h"

namespace gatehouse::cli {

namespace {

void AddTrustStore(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("trust-store", "look after what is trusted; `describe trust-store` lists it");
  group->require_subcommand(1);
  TrustStoreFlags& flags = line.Make<TrustStoreFlags>();
  CLI::App* add = group->add_subcommand("add-cert", "add certificates of files: PEM, DER, PKCS#7 or PFX");
  CLI::App* remove = group->add_subcommand("remove-cert", "trust certificates no longer, in whatever role");
  CLI::App* replace = group->add_subcommand("replace-cert", "put one certificate in the place of another");
  CLI::App* add_crl = group->add_subcommand("add-crl", "add revocation lists; each takes the place of its predecessor");
  CLI::App* remove_crl = group->add_subcommand("remove-crl", "remove revocation lists");
  CLI::App* roots = group->add_subcommand("system-roots", "trust the operating system's authorities too, or not");
  for (CLI::App* command : {add, remove, replace, add_crl, remove_crl, roots}) {
    command->add_option("name", flags.name, "trust store")->required();
    AddChangeFlags(*command, flags.change);
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
  auto run = [&](int (*command)(Context&, const TrustStoreFlags&)) {
    return [&line, &flags, command] { return command(line.context, flags); };
  };
  auto named = [&](int (*command)(Context&, const TrustStoreFlags&)) {
    return [&line, &flags, command] {
      if (!flags.files.empty() || !flags.sha256.empty()) return command(line.context, flags);
      Fail(line.context, absl::InvalidArgumentError("name what goes: a file or --sha256"));
      return static_cast<int>(kUsage);
    };
  };
  OnRun(*add, line, run(AddCertificates));
  OnRun(*remove, line, named(RemoveCertificates));
  OnRun(*replace, line, run(ReplaceCertificate));
  OnRun(*add_crl, line, run(AddCrls));
  OnRun(*remove_crl, line, named(RemoveCrls));
  OnRun(*roots, line, run(SetSystemRoots));
}

void AddServerCertificate(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("server-certificate", "what listeners present");
  group->require_subcommand(1);
  ServerCertificateFlags& flags = line.Make<ServerCertificateFlags>();
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
  AddChangeFlags(*set, flags.change);
  OnRun(*set, line, [&] {
    if (flags.pfx.empty() && flags.chain.empty() && flags.chain_path.empty()) {
      Fail(line.context, absl::InvalidArgumentError("say where it is: --pfx, --chain with --private-key, or --chain-path "
                                                    "with --private-key-path"));
      return static_cast<int>(kUsage);
    }
    return SetServerCertificate(line.context, flags);
  });
}

}  // namespace

void AddTrust(CLI::App& app, CommandLine& line) {
  AddTrustStore(app, line);
  AddServerCertificate(app, line);
}

}  // namespace gatehouse::cli
