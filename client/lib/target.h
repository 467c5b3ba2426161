// Target says where a control plane listens and how it is spoken to.
//
//   unix:/run/gatehouse/control.sock    a Unix socket: the kernel tells the server who we are (the default)
//   host:port                           TCP with mutual TLS; `tls` is required
//   host:port with insecure_loopback    TCP without TLS, to this machine only
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gatehouse::client {

struct TlsFiles {
  std::string ca;           // PEM bundle that the server's certificate must lead to. Required.
  std::string certificate;  // our chain, PEM. Required.
  std::string key;          // our key, PEM. Required.
  std::string server_name;  // name in the server's certificate; empty: the host of the target
};

struct Target {
  std::string address;     // as gRPC takes it
  std::string socket;      // path of the Unix socket, else empty
  std::string host;        // of TCP
  TlsFiles tls;
  bool insecure_loopback = false;
};

// ParseTarget checks `text` and that the other arguments fit it. INVALID_ARGUMENT names what is missing.
absl::StatusOr<Target> ParseTarget(absl::string_view text, TlsFiles tls, bool insecure_loopback);

// DefaultTarget is where a `gatehouse` started by this user listens: $GATEHOUSE_SERVER, else the socket in its state
// directory.
std::string DefaultTarget();

}  // namespace gatehouse::client
