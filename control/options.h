// Options of the program `gatehouse`, from its command line.
//
// Errors: ParseOptions: INVALID_ARGUMENT naming the flag. Help and version are no errors: `text` is to be printed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/secret.h"

namespace gatehouse {

struct Options {
  std::string text;  // not empty: print it and exit 0

  std::string state_dir;  // absolute
  std::string socket;     // control API; absolute; empty: none
  std::string listen;     // control API over TCP with mTLS, `host:port`; empty: none
  std::string tls_cert;
  std::string tls_key;
  std::string client_ca;
  std::vector<std::string> allow_san;  // everything but an owner's rights
  std::vector<std::string> owner_san;  // of these two at least one with `listen`
  std::string socket_group;            // its members may connect to the socket; empty: nobody but who owns it
  std::string insecure_loopback;       // control API over TCP without TLS; empty: none

  std::string secret_key_file;  // absolute; empty: STATE-DIR/secret.key, unless secret_key
  Secret secret_key;            // from the environment, as is the one that waits; 32 octets or empty
  Secret new_secret_key;

  bool gateway = true;  // embed one
  std::string gateway_name = "embedded";
  int workers = 0;  // 0: one a core
  bool quick_spki_decoder = false;  // gateway/certs/quick_spki.h
  std::string revocation_cache;  // directory of fetched CRLs and OCSP answers; absolute
  absl::Duration drain = absl::Seconds(30);

  std::string metrics_address;  // of the monitor, host:port; empty: none
  absl::Duration session_ticket_period = absl::Hours(1);  // of a key; the one before is accepted for one more

  uint64_t event_archive_size = 1024 * 1024 * 1024;     // octets on disk; 0: none is kept
  absl::Duration event_archive_age = absl::Hours(30 * 24);  // 0: no limit
  std::string event_log;  // JSON lines: a file, absolute, or "-"; empty: none

  // Octets of requests: held by the calls of one caller that run, by those of all, and sent by one caller in a minute.
  uint64_t max_caller_memory = uint64_t{256} * 1024 * 1024;
  uint64_t max_request_memory = uint64_t{512} * 1024 * 1024;
  uint64_t max_caller_minute = uint64_t{1024} * 1024 * 1024;

  std::string log_level = "info";
  int ready_fd = -1;  // gets "ready\n" and is closed; -1: none
};

// What the environment says, so that a test can say it.
struct Environment {
  bool root = false;
  std::string home;
  std::string xdg_state_home;
  std::string secret_key, new_secret_key;  // GATEHOUSE_SECRET_KEY, GATEHOUSE_NEW_SECRET_KEY: 64 hex digits each
  static Environment OfProcess();
};

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace gatehouse
