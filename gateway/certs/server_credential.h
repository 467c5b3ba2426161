// ServerCredential is the chain and private key that a listener presents.
//
// Ownership:  immutable, shared; owns the key.
// Threading:  immutable; any thread (OpenSSL locks the key's use).
// Errors:     kInvalidArgument, e.g. `server certificate "web": private key does not match the certificate`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/openssl.h"
#include "gateway/base/secret.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::certs {

class ServerCredential {
 public:
  // Leaf first. The key must be unencrypted PEM and fit the leaf; each further certificate must have issued the one
  // before it.
  static absl::StatusOr<std::shared_ptr<const ServerCredential>> FromPem(absl::string_view name,
                                                                         absl::string_view chain_pem,
                                                                         absl::string_view key_pem);
  static absl::StatusOr<std::shared_ptr<const ServerCredential>> FromPfx(absl::string_view name,
                                                                         absl::string_view pfx,
                                                                         const Secret& password);

  const std::string& name() const { return name_; }
  const std::vector<CertificateRef>& chain() const { return chain_; }
  const Certificate& leaf() const { return *chain_.front(); }
  EVP_PKEY* key() const { return key_.get(); }
  // DNS entries of the leaf's SAN, lower-case; "*.example.org" stays as it is.
  const std::vector<std::string>& dns_names() const { return dns_names_; }
  // Digest of chain and public key, for sharing unchanged parts between snapshots.
  uint64_t version() const { return version_; }

 private:
  ServerCredential() = default;
  static absl::StatusOr<std::shared_ptr<const ServerCredential>> Make(absl::string_view name,
                                                                      std::vector<CertificateRef> chain,
                                                                      UniqueKey key);
  std::string name_;
  std::vector<CertificateRef> chain_;
  UniqueKey key_;
  std::vector<std::string> dns_names_;
  uint64_t version_ = 0;
};

using ServerCredentialRef = std::shared_ptr<const ServerCredential>;

}  // namespace gatehouse::certs
