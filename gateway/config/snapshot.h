// Snapshot is everything that one revision of the configuration says, compiled: what a gateway obeys.
//
// Ownership:  immutable, shared as SnapshotRef. Unchanged parts (trust stores, user stores, schemes, policies, server
//             credentials, the route table) are shared with the snapshot it was built after.
// Threading:  immutable; any thread.
// Units:      durations and octets as the types and names say; every default is resolved.
// Errors:     none; what is wrong was found by Build.
//
// Resources are in order of their names, so indexes and epochs do not depend on the order they were written in.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/address_range.h"
#include "gateway/base/digest.h"
#include "gateway/certs/options.h"
#include "gateway/certs/server_credential.h"
#include "gateway/config/route_table.h"
#include "gateway/credentials/checker.h"
#include "gateway/identity/claims.h"
#include "gateway/delegate/service.h"

namespace gatehouse::config {

enum class ClientCertificate : uint8_t { kNone, kAllow, kRequire };

// Limits of a listener.
struct Limits {
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration header_timeout = absl::Seconds(15);
  absl::Duration body_timeout = absl::Seconds(30);
  absl::Duration idle_timeout = absl::Minutes(5);
  uint32_t max_header_bytes = 32 * 1024;
  uint32_t max_header_count = 100;
  uint32_t max_target_bytes = 8 * 1024;
  uint64_t max_body_bytes = UINT64_MAX;  // unlimited
  uint32_t max_concurrent_streams = 100;
  uint32_t max_connections = 100'000;
  uint32_t max_connections_per_address = 0;                // 0: unlimited
  absl::Duration request_timeout = absl::ZeroDuration();  // zero: unlimited
  friend bool operator==(const Limits&, const Limits&) = default;
};

// Name is how a listener treats some server names.
struct Name {
  // Lower case; "*.example.com" stands for exactly one label. Empty only for the default, the first of a listener.
  std::vector<std::string> names;
  // At least one if the snapshot is complete; at most one a key family.
  std::vector<certs::ServerCredentialRef> credentials;
  ClientCertificate client_certificate = ClientCertificate::kNone;
  std::vector<uint32_t> certificate_schemes;  // reachable through these names, ascending
  std::vector<std::string> ca_hints;          // DER of distinguished names; empty: no hint
  // Client-certificate configuration: names with equal ones may share a connection, others are 421.
  Sha256Digest configuration{};
  // What a resumption must not cross: listener, names, whether certificates are asked for, and `verify_with`. Not the trust:
  // a resumption is judged anew by the certificate that the session remembers.
  Sha256Digest session_context{};
  // Version of everything that decides whether a connection made for these names may stay.
  uint64_t trust_epoch = 0;
};

// RedirectOnly: what a listener in plain HTTP answers everybody.
struct RedirectOnly {
  int status = 308;
  uint16_t port = 443;
};

struct Listener {
  std::string name;
  uint32_t index = 0;
  std::string address;  // `ip:port` or `[v6]:port`, as configured
  std::vector<Name> names;  // never empty; the first is for clients without SNI and for unknown names
  bool min_tls_1_3 = false;
  bool session_tickets = false;
  Limits limits;
  uint32_t verify_with = kNoScheme;
  std::vector<AddressRange> proxy_protocol_from;
  std::optional<RedirectOnly> redirect_only;  // no TLS, no routes; `names` is one that nobody is asked by
  std::vector<AddressRange> trusted_proxies;
  AccessLogRef access_log;  // null: nowhere

  // NameFor: exact, then `*.` for one label, then the default. `server_name` in any case; "" = none.
  const Name& NameFor(absl::string_view server_name) const;
  // Whether a route's host pattern ("" = any) can be asked for through the names at this index.
  bool MayReach(uint32_t name_index, absl::string_view host) const;

  absl::flat_hash_map<std::string, uint32_t> exact_names;     // "example.com" -> index into names
  absl::flat_hash_map<std::string, uint32_t> wildcard_names;  // ".example.com"
};

using CertificateSchemeRef = std::shared_ptr<const certs::SchemeOptions>;

struct Scheme {
  std::string name;
  uint32_t index = 0;
  uint64_t epoch = 0;  // content version; equal content, equal epoch
  bool in_any_scheme = true;
  std::variant<CertificateSchemeRef, credentials::BasicSchemeRef> kind;
  identity::CertificateClaimOptions claims;  // certificate schemes
  std::string user_store_name;               // Basic schemes: who issues the users' claims
  delegate::ServiceRef validator;            // Basic schemes that a service decides, instead of a user store

  bool is_certificate() const { return std::holds_alternative<CertificateSchemeRef>(kind); }
  // REQUIRES: is_certificate().
  const CertificateSchemeRef& certificate() const { return std::get<CertificateSchemeRef>(kind); }
  // REQUIRES: !is_certificate().
  const credentials::BasicSchemeRef& basic() const { return std::get<credentials::BasicSchemeRef>(kind); }
};

// How the endpoints of an upstream are asked whether they are well.
struct HealthCheck {
  std::string path = "/";
  std::string host;  // empty: the endpoint, as configured
  absl::Duration interval = absl::Seconds(10);
  absl::Duration timeout = absl::Seconds(2);
  uint32_t healthy_after = 2;
  uint32_t unhealthy_after = 3;
  std::vector<uint16_t> statuses;           // empty: 200 to 299
  std::optional<std::string> grpc_service;  // by grpc.health.v1 instead
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

// Forwarded is what an upstream is told of the way a request came.
enum class Forwarded : uint8_t { kXForwarded, kForwarded, kBoth, kNone };

// How the endpoints of an upstream prove who they are.
struct UpstreamTls {
  certs::TrustStoreRef authorities;     // its anchors; null: the pins alone prove
  std::vector<Sha256Digest> spki_pins;  // not empty without authorities
  std::string server_name;              // lower case; empty: the endpoint's
  std::vector<std::string> verify_names;
  certs::ServerCredentialRef identity;  // what we present; null: nothing
  friend bool operator==(const UpstreamTls&, const UpstreamTls&) = default;
};
using UpstreamTlsRef = std::shared_ptr<const UpstreamTls>;

struct Upstream {
  std::string name;
  uint32_t index = 0;
  std::vector<std::string> endpoints;  // `ip:port`, `[v6]:port` or `name:port`
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration response_timeout = absl::Seconds(60);
  absl::Duration idle_timeout = absl::Seconds(60);
  absl::Duration dns_refresh = absl::Seconds(30);
  uint32_t max_connections = 256;
  uint32_t max_pending = 1024;
  uint32_t max_requests = 0;   // 0: unlimited
  bool least_request = false;  // else round robin
  // Failures in a row that eject an endpoint; 0: it is never ejected.
  uint32_t eject_after = 5;
  absl::Duration eject_for = absl::Seconds(30);
  uint32_t eject_percent = 50;
  uint32_t attempts = 2;
  bool retry_idempotent = false;
  uint32_t retry_budget_percent = 20;
  std::optional<HealthCheck> health_check;
  Forwarded forwarded = Forwarded::kXForwarded;
  bool http2 = false;
  UpstreamTlsRef tls;  // null: in clear; the same as before when nothing of it changed
  friend bool operator==(const Upstream&, const Upstream&) = default;
};

// CertificateReach: the certificate schemes of the routes that one listener has for one host ("" = any, "*.x" =
// wildcard).
using CertificateReach = absl::flat_hash_map<std::string, std::vector<uint32_t>>;

class Snapshot {
 public:
  uint64_t revision = 0;
  std::string incarnation;
  Sha256Digest digest{};  // canonical digest of the configuration (build_resource_map.h)

  // False: made where the files of the gateway's machine could not be seen. Not to be obeyed.
  bool complete = true;
  // Those files: what the snapshot was made from, besides the configuration.
  std::vector<std::string> files;

  std::vector<certs::TrustStoreRef> trust_stores;
  std::vector<certs::ServerCredentialRef> server_credentials;
  std::vector<Listener> listeners;
  std::vector<Scheme> schemes;
  std::vector<Upstream> upstreams;
  RouteTable routes;
  identity::StripList strip;  // fixed names and every header that any route injects

  const Scheme& scheme(uint32_t index) const { return schemes[index]; }
  const Upstream& upstream(uint32_t index) const { return upstreams[index]; }
  const std::vector<Route>& route_list() const { return routes.list(); }

  // Null when there is none.
  const Listener* FindListener(absl::string_view name) const;
  const Scheme* FindScheme(absl::string_view name) const;
  const Upstream* FindUpstream(absl::string_view name) const;
  const Route* FindRoute(absl::string_view name) const { return routes.Find(name); }
  bool HasSchemeEpoch(uint64_t epoch) const;

  // Misdirected says that `host`, asked for on a connection made for `server_name` ("" = no SNI), selects another
  // client-certificate configuration than that connection has: 421.
  bool Misdirected(const Listener& listener, absl::string_view server_name, absl::string_view host) const;

  // What Build shares with the next snapshot.
  struct Parts;
  std::shared_ptr<const Parts> parts;
};

using SnapshotRef = std::shared_ptr<const Snapshot>;

}  // namespace gatehouse::config
