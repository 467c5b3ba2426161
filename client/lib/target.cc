#include "client/lib/target.h"

#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace gatehouse::client {
namespace {

bool IsLoopback(absl::string_view host) {
  return host == "127.0.0.1" || host == "::1" || host == "localhost";
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

absl::StatusOr<Target> ParseTarget(absl::string_view text, TlsFiles tls, bool insecure_loopback) {
  Target target;
  target.insecure_loopback = insecure_loopback;
  const bool any_tls = !tls.ca.empty() || !tls.certificate.empty() || !tls.key.empty();
  absl::string_view path = text;
  if (absl::ConsumePrefix(&path, "unix:") || absl::StartsWith(path, "/")) {
    absl::ConsumePrefix(&path, "//");
    if (path.empty()) return absl::InvalidArgumentError("the target names no socket: unix:/path/to/control.sock");
    if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
      return absl::InvalidArgumentError(absl::StrCat("the socket's path is longer than the system allows: ", path));
    }
    if (any_tls) return absl::InvalidArgumentError("TLS files are of no use on a Unix socket");
    target.socket = std::string(path);
    target.address = absl::StrCat("unix:", path);
    return target;
  }
  size_t colon = text.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || colon == 0 || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      port < 1 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("not a target: \"", text, "\"; write unix:/path or host:port"));
  }
  absl::string_view host = text.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) host = host.substr(1, host.size() - 2);
  target.host = std::string(host);
  target.address = std::string(text);
  if (insecure_loopback) {
    if (!IsLoopback(host)) {
      return absl::InvalidArgumentError(absl::StrCat("without TLS only this machine may be asked, not ", host));
    }
    if (any_tls) return absl::InvalidArgumentError("TLS files and --insecure-loopback exclude each other");
    return target;
  }
  if (tls.ca.empty() || tls.certificate.empty() || tls.key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a control plane at ", text, " is spoken to over mutual TLS: give --ca, --cert and --key"));
  }
  target.tls = std::move(tls);
  return target;
}

std::string DefaultTarget() {
  if (std::string server = Environment("GATEHOUSE_SERVER"); !server.empty()) return server;
  std::string state = "/var/lib/gatehouse";
  if (geteuid() != 0) {
    std::string base = Environment("XDG_STATE_HOME");
    if (base.empty()) base = absl::StrCat(Environment("HOME"), "/.local/state");
    state = absl::StrCat(base, "/gatehouse");
  }
  return absl::StrCat("unix:", state, "/run/control.sock");
}

}  // namespace gatehouse::client
