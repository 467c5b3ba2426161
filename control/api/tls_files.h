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
#include "control/api/callers.h"
#include "gateway/base/mutex.h"
#include "gateway/base/openssl.h"
#include "gateway/base/secret.h"

namespace gatehouse::api {

struct TlsPaths {
  std::string certificate;  // chain, PEM, leaf first
  std::string key;          // PEM, not encrypted
  std::string client_ca;    // PEM, one or more
};

class TlsFiles : public std::enable_shared_from_this<TlsFiles> {
 public:
  // `gateways` is the authority of gateways, PEM, beside those of the file; empty: none.
  static absl::StatusOr<std::shared_ptr<TlsFiles>> Load(TlsPaths paths, std::string gateways = "");

  // Reload returns what is served from the next handshake on, for the log, or "" when the files hold what they held.
  absl::StatusOr<std::string> Reload();

  // Which of the authorities, as they are now, vouches for a chain (PEM, leaf first) now; PERMISSION_DENIED: none. Asked at
  // each call, since a connection may be older than the authorities.
  absl::StatusOr<Voucher> Vouch(const std::string& chain_pem) const;

  // Mutual TLS with these files; who does not pass `callers` reaches no handler, not even health's. With `anybody` a client
  // certificate is asked for and not required.
  std::shared_ptr<grpc::ServerCredentials> Credentials(std::shared_ptr<const Callers> callers, bool anybody);

 private:
  friend class FilesCredentials;
  struct Content {
    std::string chain;
    Secret key;
    std::string client_ca;  // of the file, and the gateways'
    UniqueStore clients;
    UniqueStore gateways;  // null: none
  };
  TlsFiles(TlsPaths paths, std::string gateways) : paths_(std::move(paths)), gateways_(std::move(gateways)) {}

  const TlsPaths paths_;
  const std::string gateways_;
  mutable Mutex mutex_;
  std::shared_ptr<const Content> content_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::api
