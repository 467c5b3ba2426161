// Edge is a listener as the data plane runs it under one snapshot: its TLS contexts and codec options, made once by the
// installer and shared by the workers.
//
// Ownership:  immutable and shared by the connections of a worker, which keep the edge they were accepted on.
// Threading:  immutable.
// Errors:     Create names the listener and the cause.
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"
#include "gateway/config/snapshot.h"
#include "gateway/http/codec_factory.h"
#include "gateway/loop/address.h"
#include "gateway/server/address_counts.h"
#include "gateway/tls/server_context.h"

namespace gatehouse::server {

struct Edge {
  std::shared_ptr<const config::Snapshot> snapshot;  // keeps `listener` alive
  const config::Listener* listener = nullptr;
  std::shared_ptr<const tls::ServerContext> tls;  // null: it only redirects
  std::shared_ptr<std::atomic<uint32_t>> open;  // connections of this listener, of all workers and generations
  std::shared_ptr<AddressCounts> addresses;            // of these, by client address
  http::CodecOptions codec;  // limits of the listener; each worker's copy of the edge has its own date

  // Whether `peer` is a load balancer that must begin its connections with a PROXY header.
  bool IntroducedBy(const loop::Address& peer) const;

  // Takes over the TLS contexts of `previous` (may be null) when nothing of them changed.
  static absl::StatusOr<std::shared_ptr<Edge>> Create(std::shared_ptr<const config::Snapshot> snapshot,
                                                      const config::Listener& listener, const Edge* previous,
                                                      std::shared_ptr<tls::SessionCache> sessions,
                                                      std::shared_ptr<const tls::TicketKeys> ticket_keys,
                                                      const Clock& clock);
};

// EdgeInForce is where a worker's connections find what their listener says now.
struct EdgeInForce {
  std::shared_ptr<Edge> edge;
  bool gone = false;  // the listener is; `edge` is the last there was
};

}  // namespace gatehouse::server
