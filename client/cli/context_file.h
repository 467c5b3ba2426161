// ContextFile keeps named control planes and how to speak to them, so that nobody types it each time:
// `$XDG_CONFIG_HOME/gatehouse/config.yaml`, else `~/.config/gatehouse/config.yaml`.
//
//   current: production
//   contexts:
//     production: {server: "gatehouse.example:7000", ca: /home/ann/pki/ca.pem, cert: /home/ann/pki/ann.pem, key: /home/ann/pki/ann.key}
//     here: {server: "unix:/run/gatehouse/control.sock"}
//
// Ownership:  a value.
// Threading:  thread-compatible.
// Errors:     FAILED_PRECONDITION: somebody else may write the file, and could send us to a control plane of theirs;
//             INVALID_ARGUMENT: not such a file, with its line; NOT_FOUND: no context of that name.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/context.h"

namespace gatehouse::cli {

class ContextFile {
 public:
  static std::string DefaultPath();
  // A file that is not there is an empty one.
  static absl::StatusOr<ContextFile> Load(const std::string& path);
  // Save replaces the file, mode 600.
  absl::Status Save() const;

  // Find returns the context of that name.
  absl::StatusOr<ConnectionFlags> Find(const std::string& name) const;

  std::map<std::string, ConnectionFlags> contexts;
  std::string current;  // empty: none

 private:
  std::string path_;
};

// Resolve says what is connected to: `--server`, else `--context`, else $GATEHOUSE_SERVER, else the file's current context,
// else the local gatehouse. TLS flags that were given count before a context's.
absl::StatusOr<ConnectionFlags> Resolve(const ConnectionFlags& flags);

}  // namespace gatehouse::cli
