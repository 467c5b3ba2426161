// Context is what a command runs with: its streams, how to reach the control plane, how to ask for a password. Tests
// give their own.
//
// Threading:  commands run on one thread; only `events watch` prints from the watch's thread.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/lib/client.h"
#include "gateway/base/secret.h"

namespace gatehouse::cli {

// Exit codes; docs/reference/gatehousectl.md and `gatehousectl --help` list them.
enum ExitCode : int {
  kOk = 0,
  kRefused = 1,
  kUsage = 2,
  kNotFound = 3,
  kConflict = 4,
  kUnavailable = 5,
  kPermissionDenied = 6,
  kNotInForce = 7,
};

struct Streams {
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  std::istream* in = nullptr;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  // Asks at the terminal without echo. FAILED_PRECONDITION when there is no terminal.
  std::function<absl::StatusOr<Secret>(const std::string& prompt)> ask_password;
};

struct ConnectionFlags {
  std::string server;   // empty: see Resolve in context_file.h
  std::string context;  // name of one in the file
  client::TlsFiles tls;
  bool insecure_loopback = false;
  absl::Duration timeout = absl::Seconds(30);
};

struct Context {
  Streams streams;
  ConnectionFlags connection;
  bool color = false;        // on standard output
  bool error_color = false;  // on standard error

  std::ostream& out() { return *streams.out; }
  std::ostream& err() { return *streams.err; }
  // Connect opens the client of this run.
  absl::StatusOr<std::unique_ptr<client::Client>> Connect() const;
};

// Fail prints `status` as EXPERIENCE asks (`error: nothing was changed` and one violation a line) and returns the exit
// code for it.
int Fail(Context& context, const absl::Status& status);
// OutputLost is what a command ends with when standard output does not take what it prints.
absl::Status OutputLost();
// ExitCodeOf maps a status to an exit code.
int ExitCodeOf(const absl::Status& status);

}  // namespace gatehouse::cli
