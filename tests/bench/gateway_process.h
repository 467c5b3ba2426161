// GatewayProcess is a gateway in a process of its own, and the certificates that it and its clients need.
//
// The process does nothing until its first order: what is minted in between is not in its memory.
//
// Ownership:  the destructor ends the process.
// Threading:  fork: made before any thread of the program.
// Errors:     whatever goes wrong ends the program with exit status 1.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/certs/mint.h"
#include "gateway/loop/instant.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::bench {

[[noreturn]] void Die(absl::string_view what);

// Valid from an hour ago for a day.
certs::MintRequest Request(certs::Profile profile, std::string subject);
certs::CertificateRef MintOrDie(const certs::MintRequest& request, EVP_PKEY* key, std::optional<certs::Signer> signer = {});

struct Authority {
  UniqueKey key;
  certs::CertificateRef certificate;
};
Authority NewAuthority(const std::string& subject);
certs::CertificateRef LeafOf(const Authority& authority, const std::string& name, EVP_PKEY* key);

class GatewayProcess {
 public:
  static constexpr int kFirst = -1;
  struct Times {
    loop::Instant begun, built, in_force;
    int port;
  };
  // Puts an order into the configuration, which holds a listener, its certificate and the route /secure already. Runs in
  // the new process; the first order is kFirst.
  using Change = std::function<void(int order, v1::ConfigSet* set)>;

  GatewayProcess(int workers, Change change);
  ~GatewayProcess();
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  // Returns once the configuration with this order is in force.
  Times Order(int order);
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
};

}  // namespace gatehouse::bench
