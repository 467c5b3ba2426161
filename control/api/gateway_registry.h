// GatewayRegistry knows which gateways were let in: it holds the authority that certifies them, the join tokens that can still be
// used, and the certificates that are good. Anything else of that authority is refused, what it issued after the backup that it was
// restored from, too: a gateway may have been removed in that time. Who is refused is told how to come back.
//
//   token --Join, once--> certificate (30 days) --Renew--> the next --Remove, expiry--> refused
//
// Ownership:  the clock outlives it; owns the file.
// Threading:  thread-safe; what changes it blocks on the disk and is durable when it returns.
// Units:      at most kMostTokens tokens; a gateway has at most kMostCertificates good certificates. One more takes the place of the
//             newest, which may never have been stored, but not of the one that it is asked for with.
// Errors:     Open: DATA_LOSS, UNAVAILABLE, FAILED_PRECONDITION. Join: PERMISSION_DENIED for every fault of the token alike,
//             INVALID_ARGUMENT (name, signing request). Renew: FAILED_PRECONDITION (no gateway's certificate),
//             PERMISSION_DENIED (not good any more). Remove, DeleteToken: NOT_FOUND.
//             CreateToken: INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/join_token.h"
#include "gateway/base/mutex.h"
#include "gateway/base/openssl.h"
#include "gateway/base/sealed_file.h"
#include "gateway/certs/certificate.h"
#include "gatehouse/v1/gateway_service.pb.h"

namespace gatehouse::api {

class GatewayRegistry {
 public:
  static constexpr size_t kMostTokens = 1000;
  static constexpr size_t kMostCertificates = 4;
  static constexpr absl::Duration kLifetime = absl::Hours(24 * 30);

  // Reads `folder`/gateways.sealed, or makes a new authority. `key`, 32 octets, seals it: Store::KeyFor("gateways").
  static absl::StatusOr<std::unique_ptr<GatewayRegistry>> Open(const std::string& folder, Secret key, const Clock& clock);

  // The authority's certificate, PEM.
  std::string authority() const { return authority_->ToPem(); }

  absl::StatusOr<v1::CreateJoinTokenResponse> CreateToken(const v1::CreateJoinTokenRequest& request,
                                                          const Sha256Digest& anchor, const std::string& created_by);
  std::vector<v1::JoinToken> Tokens() const;
  absl::Status DeleteToken(const std::string& id);

  struct Joined {
    v1::JoinResponse response;
    std::string token;       // id of the one that was used up
    std::string created_by;  // who made it
    bool anew = false;       // a gateway of the name was in: its certificates are refused from now on
  };
  // `taken` says whether somebody has a name who is not in here. `why` tells what the caller is not told: which fault a token has.
  absl::StatusOr<Joined> Join(const v1::JoinRequest& request, const std::function<bool(const std::string& name)>& taken,
                              std::string* why);
  // `chain_pem` is the certificate that the gateway calls with.
  absl::StatusOr<v1::JoinResponse> Renew(const std::string& gateway, const std::string& chain_pem, const std::string& signing_request);
  absl::Status Remove(const std::string& gateway);

  // Whether the certificate (PEM, leaf first) is one of those that are good for the gateway.
  absl::Status Check(const std::string& gateway, const std::string& chain_pem) const;

 private:
  struct Token {
    std::string hash;  // SHA-256 of the secret, hex
    std::string gateway;
    absl::Time expires;
    std::string created_by;
  };
  struct Good {
    std::string sha256;  // of the certificate, hex
    absl::Time not_after;
  };
  struct State {
    std::map<std::string, Token> tokens;  // by id
    std::map<std::string, std::vector<Good>> gateways;
  };

  GatewayRegistry(SealedFile file, const Clock& clock) : file_(std::move(file)), clock_(clock) {}
  absl::Status Found();
  absl::Status Read(const std::string& text);
  absl::Status Commit(State next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The digest of the certificate, hex, if it is one of those that are good for the gateway.
  absl::StatusOr<std::string> Find(const std::string& gateway, const std::string& chain_pem) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes a certificate and notes it in `next`, where the one of digest `kept` stays.
  absl::StatusOr<v1::JoinResponse> Issue(const std::string& gateway, EVP_PKEY* key, absl::string_view kept, State* next) const;

  const SealedFile file_;
  const Clock& clock_;
  // Constant after Open.
  UniqueKey key_;
  certs::CertificateRef authority_;
  mutable Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::api
