#include "gateway/server/edge.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/events/event.h"

namespace gatehouse::server {
namespace {

tls::ClientCertificate ModeOf(config::ClientCertificate mode) {
  switch (mode) {
    case config::ClientCertificate::kNone: return tls::ClientCertificate::kNone;
    case config::ClientCertificate::kAllow: return tls::ClientCertificate::kAllow;
    case config::ClientCertificate::kRequire: return tls::ClientCertificate::kRequire;
  }
  return tls::ClientCertificate::kRequire;
}

// Whether a context made for `a` does for `b`: same names, credentials, modes and hints. The credentials are shared objects
// when unchanged, so identity is enough.
bool SameName(const config::Name& a, const config::Name& b) {
  return a.names == b.names && a.credentials == b.credentials && a.client_certificate == b.client_certificate &&
         a.ca_hints == b.ca_hints && a.session_context == b.session_context;
}

bool SameOptions(const config::Listener& a, const config::Listener& b) {
  return a.min_tls_1_3 == b.min_tls_1_3 && a.session_tickets == b.session_tickets;
}

bool SameTls(const config::Listener& a, const config::Listener& b) {
  return SameOptions(a, b) && std::equal(a.names.begin(), a.names.end(), b.names.begin(), b.names.end(), SameName);
}

http::Limits LimitsOf(const config::Limits& from) {
  http::Limits limits;
  limits.header_bytes = from.max_header_bytes;
  limits.header_count = from.max_header_count;
  limits.target_bytes = from.max_target_bytes;
  limits.body_bytes = from.max_body_bytes;
  limits.streams = from.max_concurrent_streams;
  limits.handshake_timeout = from.handshake_timeout;
  limits.header_timeout = from.header_timeout;
  limits.idle_timeout = from.idle_timeout;
  limits.body_timeout = from.body_timeout;
  limits.request_timeout = from.request_timeout;
  return limits;
}

}  // namespace

bool Edge::IntroducedBy(const loop::Address& peer) const {
  if (listener->proxy_protocol_from.empty()) return false;
  const events::PeerAddress address = events::PeerAddress::FromSockaddr(peer.addr(), peer.length());
  const absl::Span<const uint8_t> ip = address.ip();
  return std::any_of(listener->proxy_protocol_from.begin(), listener->proxy_protocol_from.end(),
                     [&](const AddressRange& range) { return Contains(range, ip.data(), ip.size()); });
}

absl::StatusOr<std::shared_ptr<Edge>> Edge::Create(std::shared_ptr<const config::Snapshot> snapshot,
                                                   const config::Listener& listener, const Edge* previous,
                                                   std::shared_ptr<tls::SessionCache> sessions,
                                                   std::shared_ptr<const tls::TicketKeys> ticket_keys,
                                                   const Clock& clock) {
  auto edge = std::make_shared<Edge>();
  edge->snapshot = std::move(snapshot);
  edge->listener = &listener;
  edge->codec.limits = LimitsOf(listener.limits);
  edge->open = previous != nullptr ? previous->open : std::make_shared<std::atomic<uint32_t>>(0);
  edge->addresses = previous != nullptr ? previous->addresses : std::make_shared<AddressCounts>();
  if (listener.redirect_only.has_value()) {
    edge->codec.tls = false;
    return edge;
  }
  if (previous != nullptr && previous->tls == nullptr) previous = nullptr;  // it only redirected
  if (previous != nullptr && SameTls(*previous->listener, listener)) {
    edge->tls = previous->tls;
    return edge;
  }
  tls::ServerContextOptions options;
  options.session_cache = std::move(sessions);
  if (listener.session_tickets) options.ticket_keys = std::move(ticket_keys);
  options.clock = &clock;
  const config::Listener* before =
      previous != nullptr && SameOptions(*previous->listener, listener) ? previous->listener : nullptr;
  if (before != nullptr) options.previous = previous->tls.get();
  for (size_t i = 0; i < listener.names.size(); ++i) {
    const config::Name& name = listener.names[i];
    tls::NameConfig& to = options.names.emplace_back();
    to.unchanged = before != nullptr && i < before->names.size() && SameName(before->names[i], name);
    to.names = name.names;
    for (const certs::ServerCredentialRef& credential : name.credentials) {
      tls::KeyPair& pair = to.key_pairs.emplace_back();
      for (const certs::CertificateRef& certificate : credential->chain()) pair.chain.push_back(certificate->x509());
      pair.key = credential->key();
    }
    to.client_certificate = ModeOf(name.client_certificate);
    to.ca_hints = name.ca_hints;
    to.session_context = name.session_context;
    if (listener.min_tls_1_3) to.min_version = TLS1_3_VERSION;
  }
  absl::StatusOr<std::shared_ptr<const tls::ServerContext>> context = tls::ServerContext::Create(options);
  if (!context.ok()) {
    return absl::Status(context.status().code(),
                        absl::StrCat("listeners[\"", listener.name, "\"]: ", context.status().message()));
  }
  edge->tls = *std::move(context);
  return edge;
}

}  // namespace gatehouse::server
