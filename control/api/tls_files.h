// TlsFiles is what the control API's TCP listener is, and whom it asks to be: certificate, key and the authorities of its
// clients, read from files, and read anew when Reload is called. What is read is checked as a whole (the key fits the
// certificate, every file parses) before a handshake sees any of it; otherwise what was there before stays.
//
// gRPC asks for them at each handshake (its config fetcher): connections that are open keep what they were made with.
//
// Ownership:  shared with the credentials that it makes.
// Threading:  thread-safe.
// Errors:     NOT_FOUND, INVALID_ARGUMENT naming option and file.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/api/caller.h"
#include "gateway/base/mutex.h"
#include "gateway/base/secret.h"

namespace gatehouse::api {

struct TlsPaths {
  std::string certificate;  // chain, PEM, leaf first
  std::string key;          // PEM, not encrypted
  std::string client_ca;    // PEM, one or more
};

class TlsFiles : public std::enable_shared_from_this<TlsFiles> {
 public:
  static absl::StatusOr<std::shared_ptr<TlsFiles>> Load(TlsPaths paths);

  // Reload returns what is served from the next handshake on, for the log, or "" when the files hold what they held.
  absl::StatusOr<std::string> Reload();

  // Mutual TLS with these files; callers none of whose names is in `allowed` reach no handler, not even health's.
  std::shared_ptr<grpc::ServerCredentials> Credentials(std::vector<AllowedName> allowed);

 private:
  friend class FilesCredentials;
  struct Content {
    std::string chain;
    Secret key;
    std::string client_ca;
  };
  explicit TlsFiles(TlsPaths paths) : paths_(std::move(paths)) {}

  const TlsPaths paths_;
  Mutex mutex_;
  std::shared_ptr<const Content> content_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::api
