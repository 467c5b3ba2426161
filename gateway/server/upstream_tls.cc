#include "gateway/server/upstream_tls.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

tls::ClientContextOptions OptionsOf(const config::Upstream& upstream, const Clock& clock) {
  const config::UpstreamTls& from = *upstream.tls;
  tls::ClientContextOptions options;
  if (from.authorities != nullptr) {
    for (const certs::CertificateRef& c : from.authorities->anchors()) options.authorities.push_back(c->x509());
    for (const certs::CertificateRef& c : from.authorities->intermediates()) options.intermediates.push_back(c->x509());
  }
  options.spki_pins = from.spki_pins;
  options.server_name = from.server_name;
  options.verify_names = from.verify_names;
  if (from.identity != nullptr) {
    for (const certs::CertificateRef& c : from.identity->chain()) options.identity.chain.push_back(c->x509());
    options.identity.key = from.identity->key();
  }
  options.http2 = upstream.http2;
  options.clock = &clock;
  return options;
}

}  // namespace

absl::StatusOr<UpstreamTlsContexts> MakeUpstreamTls(const config::Snapshot& snapshot, const config::Snapshot* before,
                                                    const UpstreamTlsContexts* previous, const Clock& clock) {
  UpstreamTlsContexts contexts;
  for (const config::Upstream& upstream : snapshot.upstreams) {
    contexts.emplace_back();
    if (upstream.tls == nullptr) continue;
    const config::Upstream* old = before == nullptr ? nullptr : before->FindUpstream(upstream.name);
    if (old != nullptr && old->tls == upstream.tls && old->http2 == upstream.http2) {
      contexts.back() = (*previous)[old->index];
      continue;
    }
    absl::StatusOr<std::shared_ptr<const tls::ClientContext>> made = tls::ClientContext::Create(OptionsOf(upstream, clock));
    if (!made.ok()) {
      return absl::Status(made.status().code(), absl::StrCat("upstreams[\"", upstream.name, "\"].tls: ", made.status().message()));
    }
    contexts.back() = *std::move(made);
  }
  return contexts;
}

}  // namespace gatehouse::server
