// cert.
#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddCertificates(CLI::App& app, CommandLine& line) {
  CLI::App* group = app.add_subcommand("cert", "make, show and explain certificates");
  group->require_subcommand(1);
  MintFlags& mint_flags = line.Make<MintFlags>();
  CLI::App* mint = group->add_subcommand("new", "make a key and a certificate");
  mint->add_option("profile", mint_flags.profile, "self-signed, ca, intermediate or leaf")
      ->required()
      ->check(CLI::IsMember({"self-signed", "ca", "intermediate", "leaf"}));
  mint->add_option("--subject", mint_flags.subject, "RFC 4514, e.g. CN=alice,O=Example")->required();
  mint->add_option("--key", mint_flags.key_type, "rsa2048, rsa3072, rsa4096, p256, p384 or ed25519; default p256");
  mint->add_option("--san", mint_flags.sans, "dns:…, email:…, uri:…, ip:… or upn:…; repeatable");
  mint->add_option("--eku", mint_flags.eku, "client, server, both or none; default client")
      ->check(CLI::IsMember({"client", "server", "both", "none"}));
  mint->add_option("--days", mint_flags.days, "validity; default leaf 90, self-signed 365, intermediate 1825, ca 3650")
      ->check(CLI::Range(1, 36'500));
  mint->add_option("--ca", mint_flags.issuer_certificate, "issuer's certificate, with its chain, PEM");
  mint->add_option("--ca-key", mint_flags.issuer_key, "issuer's key, PEM");
  mint->add_option("--out", mint_flags.out, "PEM file for the certificate and its intermediates");
  mint->add_option("--key-out", mint_flags.key_out, "PEM file for the private key, mode 600");
  mint->add_option("--pfx", mint_flags.pfx_out, "PFX (PKCS #12) file with both, under a password that is asked for");
  CLI::Option* from_stdin =
      mint->add_flag("--pfx-password-stdin", mint_flags.pfx_password_stdin, "read it from standard input's first line");
  mint->add_option("--pfx-password-file", mint_flags.pfx_password_file, "read it from a file's first line")
      ->excludes(from_stdin);
  mint->add_flag("--force", mint_flags.force, "replace existing files");
  OnRun(*mint, line, [&] { return NewCertificate(line.context, mint_flags); });

  ShowFlags& show_flags = line.Make<ShowFlags>();
  CLI::App* show = group->add_subcommand("show", "describe the certificates of files");
  show->add_option("file", show_flags.files, "PEM, DER, PKCS#7, PFX, or -; keys in it are not read")->required();
  show->add_flag("--password-stdin", show_flags.password_stdin, "a PFX's password is standard input's next line");
  OnRun(*show, line, [&] { return ShowCertificates(line.context, show_flags); });

  CLI::App* explain = group->add_subcommand("explain", "ask a gateway how it would judge a certificate, and why");
  ExplainFlags& e = line.Make<ExplainFlags>();
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
  AddOutput(*explain, e.output, kOutputs, "text or json");
  OnRun(*explain, line, [&] { return Explain(line.context, e); });
}

}  // namespace gatehouse::cli
