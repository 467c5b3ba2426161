// ServerContext is a listener's TLS configuration: which certificate, which client-certificate mode and which session
// context belong to which server name. The choice falls in the client-hello callback, before any session is looked up:
// later (in the servername callback) OpenSSL has already decided whether to ask for a certificate.
//
// Ownership:  immutable; shared by the sessions made from it, so a replaced one lives until its last connection ends.
// Threading:  thread-safe after Create; may be shared by workers.
// Errors:     Create is kInvalidArgument naming the server name and the cause; nothing is half-built.
//
// Always: TLS 1.2 and 1.3; ECDHE with AEAD only (so no suite of RFC 9113 appendix A can meet h2); no renegotiation, no
// compression, no early data, stateless tickets only when asked for; TLS 1.2 sessions only with the extended master secret.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/digest.h"
#include "gateway/base/openssl.h"
#include "gateway/tls/session_cache.h"
#include "gateway/tls/ticket_keys.h"

namespace gatehouse::tls {

// What a client may present. OpenSSL reads all of it before anybody is asked, for longer than a handshake takes if it is
// much: more is refused unread. A chain of RSA-4096 has 2 KiB a certificate.
inline constexpr long kMaxPresentedBytes = 32 * 1024;
inline constexpr size_t kMaxPresentedCertificates = 24;

enum class ClientCertificate : uint8_t { kNone, kAllow, kRequire };

// One certificate with its key. Borrowed during Create only.
struct KeyPair {
  std::vector<X509*> chain;  // leaf first; at least the leaf
  EVP_PKEY* key = nullptr;   // must match the leaf
};

struct NameConfig {
  // "example.com", "*.example.com" (exactly one label). Case-insensitive. Empty only for the default configuration.
  std::vector<std::string> names;
  std::vector<KeyPair> key_pairs;  // at most one per key type (RSA, ECDSA, Ed25519)
  ClientCertificate client_certificate = ClientCertificate::kNone;
  // DER of the distinguished names sent in CertificateRequest; empty = no hint.
  std::vector<std::string> ca_hints;
  // Digest of everything a resumption must not cross: listener, names, client-certificate configuration. The server name
  // that the client asked for is added in each handshake.
  Sha256Digest session_context{};
  int min_version = TLS1_2_VERSION;
  int max_version = TLS1_3_VERSION;
  // Nothing of it differs from the one at the same place in ServerContextOptions::previous, whose TLS context is taken over.
  bool unchanged = false;
};

class ServerContext;

struct ServerContextOptions {
  // The first one is the default: for clients without SNI and, unless refused, for unknown names.
  std::vector<NameConfig> names;
  bool refuse_unknown_names = false;  // alert unrecognized_name
  bool http2 = true;                  // offer h2 by ALPN
  std::shared_ptr<SessionCache> session_cache;  // null = no resumption
  absl::Duration session_lifetime = absl::Hours(1);
  int tickets = 1;  // TLS 1.3 sessions handed out per handshake
  // Sessions travel in tickets sealed with these, while there is a key; null = sessions stay in session_cache.
  std::shared_ptr<const TicketKeys> ticket_keys;
  const Clock* clock = nullptr;  // null = system clock
  // Made with the same options save for the names; null = none.
  const ServerContext* previous = nullptr;
};

class ServerContext : public std::enable_shared_from_this<ServerContext> {
 public:
  static absl::StatusOr<std::shared_ptr<const ServerContext>> Create(const ServerContextOptions& options);
  ~ServerContext();

  // What is known of a server name after Create.
  struct Name {
    size_t index = 0;  // in ServerContextOptions::names
    ClientCertificate client_certificate = ClientCertificate::kNone;
    Sha256Digest session_context{};
    int min_version = 0;
    int max_version = 0;
    UniqueSslCtx ctx;
  };
  // The configuration for `sni` (any case; "" = none sent); null when unknown names are refused.
  const Name* Find(absl::string_view sni) const;
  const Name& default_name() const { return *names_.front(); }
  SessionCache* session_cache() const { return session_cache_.get(); }
  const TicketKeys* ticket_keys() const { return ticket_keys_.get(); }
  absl::Time Now() const { return clock_->Now(); }
  absl::Duration session_lifetime() const { return session_lifetime_; }
  bool http2() const { return http2_; }

 private:
  friend class TlsSession;
  ServerContext() = default;
  absl::Status Build(const ServerContextOptions& options);
  absl::Status BuildName(const NameConfig& config, size_t index, const ServerContextOptions& options);
  absl::Status AddNames(const NameConfig& config);

  std::vector<std::shared_ptr<const Name>> names_;  // shared with the context that came before
  absl::flat_hash_map<std::string, const Name*> exact_;     // "example.com"
  absl::flat_hash_map<std::string, const Name*> wildcard_;  // ".example.com"
  std::shared_ptr<SessionCache> session_cache_;
  std::shared_ptr<const TicketKeys> ticket_keys_;
  absl::Duration session_lifetime_;
  const Clock* clock_ = nullptr;
  bool refuse_unknown_names_ = false;
  bool http2_ = true;
};

}  // namespace gatehouse::tls
