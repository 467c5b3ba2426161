#include "control/options.h"

#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include <CLI/CLI.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/base/escape.h"

namespace gatehouse {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string DefaultStateDir(const Environment& environment) {
  if (environment.root) return "/var/lib/gatehouse";
  if (!environment.xdg_state_home.empty()) return environment.xdg_state_home + "/gatehouse";
  if (!environment.home.empty()) return environment.home + "/.local/state/gatehouse";
  return "";
}

std::string Absolute(const std::string& path) {
  if (path.empty()) return path;
  std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  while (absolute.size() > 1 && absolute.back() == '/') absolute.pop_back();
  return absolute;
}

// The key of a variable; empty: it is not set.
absl::StatusOr<Secret> KeyOf(const char* variable, const std::string& hex) {
  const bool digits = std::all_of(hex.begin(), hex.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
  if (!hex.empty() && (hex.size() != 64 || !digits)) {
    return absl::InvalidArgumentError(absl::StrCat(variable, ": 64 hex digits are expected (openssl rand -hex 32)"));
  }
  return Secret(absl::HexStringToBytes(hex));
}

// "30d", "36h", "90m", "0".
absl::StatusOr<absl::Duration> ParseAge(const std::string& text) {
  absl::Duration age;
  uint64_t days = 0;
  const bool in_days = absl::EndsWith(text, "d") && absl::SimpleAtoi(absl::StripSuffix(text, "d"), &days) && days <= 36'500;
  if (in_days) age = absl::Hours(24) * days;
  if ((!in_days && !absl::ParseDuration(text, &age)) || age < absl::ZeroDuration() || age > absl::Hours(24 * 36'500) ||
      (age > absl::ZeroDuration() && age < absl::Minutes(1))) {
    return absl::InvalidArgumentError(absl::StrCat("--event-archive-age: \"", text, "\" is not 0 or a time from 1m to 36500d, as in 30d or 36h"));
  }
  return age;
}

absl::Status Check(const Options& o) {
  if (o.state_dir.empty()) {
    return absl::InvalidArgumentError("--state-dir: there is no default without HOME; name a directory");
  }
  if (o.socket.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("--socket: the path is longer than the system allows (",
                                                   sizeof(sockaddr_un::sun_path) - 1, " bytes): ", o.socket));
  }
  constexpr uint64_t kLeastArchive = 8 * 1024 * 1024;
  constexpr uint64_t kMostArchive = uint64_t{1} << 44;
  if (o.event_archive_size != 0 && (o.event_archive_size < kLeastArchive || o.event_archive_size > kMostArchive)) {
    return absl::InvalidArgumentError("--event-archive-size: 0, or 8MiB to 16TiB");
  }
  constexpr uint64_t kLeastMemory = 1024 * 1024;
  constexpr uint64_t kMostMemory = uint64_t{1} << 40;
  for (const auto& [flag, octets] : {std::pair{"--max-caller-memory", o.max_caller_memory}, {"--max-request-memory", o.max_request_memory},
                                     {"--max-caller-minute", o.max_caller_minute}}) {
    if (octets < kLeastMemory || octets > kMostMemory) return absl::InvalidArgumentError(absl::StrCat(flag, ": 1MiB to 1TiB"));
  }
  if (o.max_caller_memory > o.max_request_memory) {
    return absl::InvalidArgumentError("--max-caller-memory: one caller may not have more held than all (--max-request-memory)");
  }
  if (o.max_caller_memory > o.max_caller_minute) {
    return absl::InvalidArgumentError("--max-caller-minute: must allow at least one call of --max-caller-memory");
  }
  const bool any_tls = !o.tls_cert.empty() || !o.tls_key.empty() || !o.client_ca.empty() || !o.allow_san.empty() || !o.owner_san.empty();
  if (o.listen.empty() && any_tls) {
    return absl::InvalidArgumentError("--tls-cert, --tls-key, --client-ca, --allow-san and --owner-san are of use with --listen only");
  }
  if (!o.listen.empty() && (o.tls_cert.empty() || o.tls_key.empty() || o.client_ca.empty())) {
    return absl::InvalidArgumentError(
        "--listen: the control API over TCP wants mutual TLS: --tls-cert, --tls-key and --client-ca");
  }
  for (const auto& [option, names] : {std::pair("--allow-san", &o.allow_san), std::pair("--owner-san", &o.owner_san)}) {
    for (const std::string& name : *names) {
      for (absl::string_view kind : {"email:", "dns:", "ip:", "uri:"}) {
        if (absl::StartsWith(name, kind)) {
          return absl::InvalidArgumentError(absl::StrCat(option, ": ", EscapeText(name), ": the name alone, without \"", kind, "\""));
        }
      }
    }
  }
  if (!o.socket_group.empty() && (o.socket.empty() || o.socket.rfind(o.state_dir + "/", 0) == 0)) {
    return absl::InvalidArgumentError(
        "--socket-group: the socket must lie outside of the state directory, which is closed to others: --socket "
        "/run/gatehouse/control.sock");
  }
  return absl::OkStatus();
}

}  // namespace

Environment Environment::OfProcess() {
  return {geteuid() == 0, Variable("HOME"), Variable("XDG_STATE_HOME"), Variable("GATEHOUSE_SECRET_KEY"),
          Variable("GATEHOUSE_NEW_SECRET_KEY")};
}

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments, const Environment& environment) {
  Options o;
  o.state_dir = DefaultStateDir(environment);
  bool no_gateway = false;
  bool no_socket = false;
  double drain_seconds = absl::ToDoubleSeconds(o.drain);
  std::string archive_age = "30d";
  int64_t ticket_seconds = absl::ToInt64Seconds(o.session_ticket_period);

  CLI::App app("Gatehouse: control plane, with a gateway embedded in the same process.", "gatehouse");
  app.set_version_flag("--version", "gatehouse " GATEHOUSE_VERSION);
  app.add_option("--state-dir", o.state_dir, "Directory of the configuration store")->capture_default_str();
  app.add_option("--socket", o.socket, "Unix socket of the control API (default: STATE-DIR/run/control.sock)");
  app.add_flag("--no-socket", no_socket, "No Unix socket");
  app.add_option("--listen", o.listen, "Control API over TCP with mutual TLS, HOST:PORT");
  app.add_option("--tls-cert", o.tls_cert, "Certificate chain of --listen, PEM");
  app.add_option("--tls-key", o.tls_key, "Key of --listen, PEM");
  app.add_option("--client-ca", o.client_ca, "Authorities of the clients of --listen, PEM");
  app.add_option("--allow-san", o.allow_san, "Subject alternative name of a client that --listen lets in; repeatable");
  app.add_option("--owner-san", o.owner_san,
                 "Subject alternative name of a client that --listen lets in as an owner, who may change bindings; repeatable");
  app.add_option("--socket-group", o.socket_group,
                 "Group whose members may connect to --socket; what each may do is a Binding's to say (uid:N)");
  app.add_option("--secret-key-file", o.secret_key_file,
                 "Key of the secrets in the store, 32 octets, mode 0600 (default: STATE-DIR/secret.key, made when there is no "
                 "store yet); GATEHOUSE_SECRET_KEY in the environment, 64 hex digits, takes its place");
  app.add_option("--insecure-loopback", o.insecure_loopback,
                 "Control API over TCP without TLS, a loopback address only; everybody on this machine may use it");
  app.add_flag("--no-gateway", no_gateway, "Control plane only");
  app.add_option("--gateway-name", o.gateway_name, "Name of the embedded gateway")->capture_default_str();
  app.add_option("--workers", o.workers, "Worker threads of the gateway; 0: one a core")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  app.add_flag("--quick-spki-decoder", o.quick_spki_decoder,
               "Read RSA and EC public keys of certificates by OpenSSL's older, direct decoder: handshakes cost less");
  app.add_option("--revocation-cache", o.revocation_cache,
                 "Directory of the gateway's fetched CRLs and OCSP answers (default: STATE-DIR/revocation)");
  app.add_option("--drain", drain_seconds, "Seconds that running requests get after SIGTERM")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  app.add_option("--metrics-address", o.metrics_address,
                 "Serves /metrics, /healthz and /readyz there, HOST:PORT; plain HTTP for everybody who reaches it");
  app.add_option("--session-ticket-period", ticket_seconds,
                 "Seconds after which session tickets get a new key; the one before is accepted for as long again")
      ->check(CLI::Range(1, 7 * 24 * 3600))
      ->capture_default_str();
  app.add_option("--event-archive-size", o.event_archive_size,
                 "Room on disk for the archive of events, as in 512MiB; 0: none is kept")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("1GiB");
  app.add_option("--event-archive-age", archive_age, "Events older than that leave the archive, as in 30d or 36h; 0: no limit")
      ->capture_default_str();
  app.add_option("--event-log", o.event_log, "Every event as a line of JSON in this file; -: on standard output");
  app.add_option("--max-caller-memory", o.max_caller_memory, "Octets of requests that the running calls of one caller of the control API may hold")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("256MiB");
  app.add_option("--max-request-memory", o.max_request_memory, "The same, of all callers together")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("512MiB");
  app.add_option("--max-caller-minute", o.max_caller_minute, "Octets of requests that one caller may send in a minute")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("1GiB");
  app.add_option("--log-level", o.log_level, "trace, debug, info, warning, error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--ready-fd", o.ready_fd, "Descriptor that is told \"ready\" once everything listens");

  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    o.text = app.help();
    return o;
  } catch (const CLI::CallForVersion&) {
    o.text = "gatehouse " GATEHOUSE_VERSION "\n";
    return o;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  o.gateway = !no_gateway;
  o.drain = absl::Seconds(drain_seconds);
  o.session_ticket_period = absl::Seconds(ticket_seconds);
  absl::StatusOr<absl::Duration> age = ParseAge(archive_age);
  if (!age.ok()) return age.status();
  o.event_archive_age = *age;
  if (o.event_log != "-") o.event_log = Absolute(o.event_log);
  o.state_dir = Absolute(o.state_dir);
  o.revocation_cache = o.revocation_cache.empty() ? o.state_dir + "/revocation" : Absolute(o.revocation_cache);
  if (no_socket && !o.socket.empty()) {
    return absl::InvalidArgumentError("--socket and --no-socket exclude each other");
  }
  if (!no_socket) o.socket = o.socket.empty() ? o.state_dir + "/run/control.sock" : Absolute(o.socket);
  if (no_socket && o.listen.empty() && o.insecure_loopback.empty()) {
    return absl::InvalidArgumentError("--no-socket: then --listen or --insecure-loopback is needed");
  }
  o.secret_key_file = Absolute(o.secret_key_file);
  absl::StatusOr<Secret> key = KeyOf("GATEHOUSE_SECRET_KEY", environment.secret_key);
  if (!key.ok()) return key.status();
  absl::StatusOr<Secret> new_key = KeyOf("GATEHOUSE_NEW_SECRET_KEY", environment.new_secret_key);
  if (!new_key.ok()) return new_key.status();
  if (key->empty() && !new_key->empty()) {
    return absl::InvalidArgumentError("GATEHOUSE_NEW_SECRET_KEY: of use beside GATEHOUSE_SECRET_KEY only");
  }
  if (!key->empty() && !o.secret_key_file.empty()) {
    return absl::InvalidArgumentError("--secret-key-file and GATEHOUSE_SECRET_KEY exclude each other");
  }
  o.secret_key = *std::move(key);
  o.new_secret_key = *std::move(new_key);
  absl::Status status = Check(o);
  if (!status.ok()) return status;
  return o;
}

}  // namespace gatehouse
