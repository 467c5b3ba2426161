// Service is where a user's own CredentialValidator is found and how it is asked (gatehouse.v1.ValidatorService), compiled.
//
// Ownership:  immutable, shared as ServiceRef.
// Threading:  immutable.
// Units:      durations carry their type.
// Errors:     none; what is wrong was found by config::Build.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/base/secret.h"

namespace gatehouse::delegate {

// The numbers are those of gatehouse.v1.ValidatorService.Fact.
enum class Fact : uint8_t {
  kHost = 1,
  kPath = 2,
  kMethod = 3,
  kClientAddress = 4,
  kListener = 5,
  kRoute = 6,
  kRequestId = 7,
  kCertificate = 8,
};

// Facts is a set of them.
class FactSet {
 public:
  constexpr void Add(Fact fact) { bits_ = static_cast<uint16_t>(bits_ | Bit(fact)); }
  constexpr bool Has(Fact fact) const { return (bits_ & Bit(fact)) != 0; }
  constexpr uint16_t bits() const { return bits_; }

 private:
  static constexpr uint16_t Bit(Fact fact) { return static_cast<uint16_t>(1u << static_cast<uint8_t>(fact)); }
  uint16_t bits_ = 0;
};

struct Service {
  std::string scheme;                  // of the scheme that asks
  std::vector<std::string> endpoints;  // `host:port` or `unix:/path`, never empty
  bool plaintext = false;              // else TLS, by what follows
  std::string ca_pem;
  std::string certificate_chain_pem;  // empty: the gateway does not say who it is
  Secret private_key_pem;
  std::string server_name;  // empty: the endpoint's host
  absl::Duration deadline = absl::Seconds(2);
  uint32_t max_concurrent_calls = 64;
  uint32_t breaker_failures = 5;
  absl::Duration breaker_open_for = absl::Seconds(5);
  absl::Duration max_lifetime = absl::Minutes(5);
  FactSet sent;
  Sha256Digest version{};  // VersionOf
};
using ServiceRef = std::shared_ptr<const Service>;

// VersionOf is the content's digest, the key's octets included: an answer of one version is never used under another.
Sha256Digest VersionOf(const Service& service);

}  // namespace gatehouse::delegate
