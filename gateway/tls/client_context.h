// ClientContext is how the endpoints of one upstream prove who they are, what we prove to them, and the sessions that they
// gave us to resume. There is no way not to verify: without authorities and without pins there is no context.
//
// A certificate passes when, with authorities, it has a path to one, for serverAuth, and bears one of the names; when, with
// pins, its key is one of them. With pins alone its key proves it: no path, and no name unless verify_names says so.
//
// Ownership:  shares certificates and key by OpenSSL's reference counts. Shared by the workers.
// Threading:  immutable, save for the sessions, which have a lock.
// Units:      a session of TLS 1.3 is resumed once. An hour after the certificate was judged, or when it ends, it is judged again.
// Errors:     kInvalidArgument names the cause.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/digest.h"
#include "gateway/base/mutex.h"
#include "gateway/base/openssl.h"
#include "gateway/tls/server_context.h"

namespace gatehouse::tls {

struct ClientContextOptions {
  std::vector<X509*> authorities;    // borrowed by Create
  std::vector<X509*> intermediates;  // help to find a path, prove nothing
  std::vector<Sha256Digest> spki_pins;
  std::string server_name;                // SNI; empty: the host that is connected to, when that is a name
  std::vector<std::string> verify_names;  // empty: server_name, else that host
  KeyPair identity;                       // what we present; empty: nothing
  bool http2 = false;                     // h2 or http/1.1 is agreed on (ALPN)
  const Clock* clock = nullptr;           // null = system clock
};

class ClientContext {
 public:
  static absl::StatusOr<std::shared_ptr<const ClientContext>> Create(const ClientContextOptions& options);

  bool http2() const { return http2_; }

 private:
  friend class ClientSession;
  ClientContext() = default;
  absl::Status Build(const ClientContextOptions& options);
  // Judge says why the certificate in `ctx` does not prove `host`; empty: it does. On refusal `ctx` holds an error.
  std::string Judge(X509_STORE_CTX* ctx, const std::string& host) const;
  std::string JudgePath(X509* leaf, X509_STORE_CTX* ctx) const;
  std::string JudgePinned(X509* leaf, X509_STORE_CTX* ctx) const;
  static int Verify(X509_STORE_CTX* ctx, void*);
  static int OnSession(SSL* ssl, SSL_SESSION* session);
  struct Saved {
    UniqueSession session;
    absl::Time until;
  };
  // Without a session when there is none to resume.
  Saved TakeSession(const std::string& peer) const;

  UniqueSslCtx ctx_;
  bool http2_ = false;
  UniqueX509Stack intermediates_;
  absl::flat_hash_set<Sha256Digest, DigestHash> authorities_;  // of the whole certificate
  absl::flat_hash_set<Sha256Digest, DigestHash> pins_;
  std::string server_name_;
  std::vector<std::string> verify_names_;
  const Clock* clock_ = nullptr;
  mutable Mutex mutex_;
  mutable absl::flat_hash_map<std::string, Saved> sessions_ ABSL_GUARDED_BY(mutex_);  // the last one of a peer
};

}  // namespace gatehouse::tls
