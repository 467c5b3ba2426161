// Balancer says which endpoint of an upstream a worker's next request goes to, and rests those that fail.
//
// An endpoint is passed over while its health check says that it is unhealthy; when all of them are, no request goes
// anywhere. It is passed over as well while it is ejected: after `consecutive_failures` in a row, for a rest that is longer
// each time. Never the last one that is in service is ejected, and when only ejected ones are healthy they are used.
// One that did not take a connection is asked after others for a second, ejected or not.
//
// Ownership:  sites are shared with the connections that go there.
// Threading:  the loop's thread.
// Errors:     none; a null Site is "nobody is healthy".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/endpoint.h"
#include "gateway/upstream/options.h"

namespace gatehouse::upstream {

class Connection;

// Site is an endpoint as one worker's pool sees it.
struct Site {
  EndpointRef endpoint;
  EndpointCounts* counts = nullptr;  // this worker's, of endpoint
  std::vector<Connection*> idle;     // that can take a request; the last used is the first to be used again
  loop::Instant resting_until;       // it took no connection: others first
  loop::Instant ejected_until;       // zero: it is not ejected
  loop::Instant returned_at;
  absl::Duration rest;               // the last one
  uint32_t failures = 0;             // in a row
  uint32_t ejections = 0;            // in a row
  bool gone = false;                 // not in the options any more

  const std::string& name() const { return endpoint->text(); }
  bool ejected() const { return ejected_until.nanos != 0; }
  bool healthy() const { return !gone && endpoint->healthy(); }
  bool in_service() const { return healthy() && !ejected(); }
};
using SiteRef = std::shared_ptr<Site>;

class Balancer final : private loop::DeadlineHandler {
 public:
  // REQUIRES: loop and stats outlive this.
  Balancer(loop::Loop* loop, PoolStats* stats) : loop_(loop), stats_(stats), return_(&loop->deadlines(), this) {}
  ~Balancer();

  // Use takes the endpoints and rules of `options`; returns the sites that are gone.
  std::vector<SiteRef> Use(const UpstreamOptions& options);
  // Pick chooses. Those in `tried` are passed over while others are there. Null: no endpoint is healthy. The pointer is good
  // until Use.
  const SiteRef* Pick(absl::Span<const Site* const> tried);
  // A request at `site` failed, or its answer's head was a good one.
  void Failed(Site& site, const std::string& why, bool no_connection);
  void Succeeded(Site& site) {
    if (site.failures != 0) Recovered(site);
  }
  // Whether one is healthy that is not in `tried`.
  bool AnyBut(absl::Span<const Site* const> tried) const;
  const std::vector<SiteRef>& sites() const { return sites_; }

 private:
  void OnDeadline(loop::Deadline* deadline) override;
  // How willingly a request is sent there; 0: not at all.
  int Rank(const Site& site, absl::Span<const Site* const> tried) const;
  size_t Draw();
  void Recovered(Site& site);
  bool MayEject() const;
  void Return(Site& site);
  void Arm();

  loop::Loop* const loop_;
  PoolStats* const stats_;
  loop::Deadline return_;
  std::vector<SiteRef> sites_;
  Balance balance_ = Balance::kRoundRobin;
  EjectionOptions ejection_;
  size_t worker_ = 0;
  size_t next_ = 0;
  uint64_t random_ = 0x9E3779B97F4A7C15;
};

}  // namespace gatehouse::upstream
