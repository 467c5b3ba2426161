// Pool keeps connections of one worker to one upstream alive, and gives them to requests.
//
//   auto request = pool.Start(head, &handler);      // nothing is called back inside Start
//   request->SendBody(bytes, /*end=*/false);        // while writable(); OnWritable says when again
//   request.reset();                                // cancel: no callback follows
//
// Which endpoint: balancer.h. After a failure a request goes to another one, at most `attempts` times in all:
//   - always when the upstream cannot have seen it: no connection came about, or it was refused unread;
//   - with `idempotent` also later, when doing it twice has no second effect, its body was not begun and no head of an answer
//     came; such retries under way are a share of the running requests at most.
//
// Ownership:  the Pool owns its connections, the caller its Requests. Requests that outlive the Pool end silently, so
//             destroy it only when running() is 0 or nobody waits any more, and never inside one of its callbacks.
// Threading:  the loop's thread; stats() are read by any.
// Errors:     through the handler's OnError, once, never after OnComplete.
#pragma once

#include <memory>
#include <vector>

#include "gateway/base/counter.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/balancer.h"
#include "gateway/upstream/options.h"
#include "gateway/upstream/request.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

class Pool final : private loop::Flushable, private loop::DeadlineHandler {
 public:
  // REQUIRES: loop outlives the pool.
  static std::unique_ptr<Pool> Create(loop::Loop* loop, UpstreamOptions options);
  ~Pool() override;

  // Start takes a request on. Never fails and never calls back inside.
  std::unique_ptr<Request> Start(const RequestHead& head, ResponseHandler* handler);
  // Update takes new options: running requests go on, connections to endpoints that are gone are not used again.
  void Update(UpstreamOptions options);
  // CloseIdle closes all connections that carry nothing.
  void CloseIdle();
  // RetireAll is for whoever wants new connections for what comes next: those that are here take nothing more.
  void RetireAll() { RetireConnections(nullptr); }
  // Retire: the upstream is gone from the configuration. What runs or waits goes on, and no connection is kept.
  void Retire();
  const PoolStats& stats() const { return *stats_; }
  const std::vector<SiteRef>& sites() const { return balancer_.sites(); }
  const UpstreamOptions& options() const { return options_; }
  // Requests that are not done.
  size_t running() const { return running_; }

 private:
  friend class Http1Connection;
  friend class Http2Connection;
  friend class Request;

  Pool(loop::Loop* loop, UpstreamOptions options);
  void Flush() override;
  void OnDeadline(loop::Deadline* deadline) override;

  // Gives `request` a connection or a place in the queue.
  void Place(Request* request);
  // A kept connection of `site` that `request` may be risked on.
  Connection* TakeIdle(Site& site, const Request& request);
  // No more connections may be opened: one of whatever endpoint is in service, or room for a new one.
  Connection* TakeAnyIdle(const Request& request);
  bool full() const { return connections_.size() >= options_.max_connections; }
  void Give(Connection* connection, Request* request);
  void CountIdle(Connection* connection, bool idle);
  // Connections of `site`, or all, take nothing more.
  void RetireConnections(const Site* site);
  void Open(Request* request, const SiteRef& site);
  void Leave(Request* request);
  void FailLater(Request* request, ErrorKind kind, absl::string_view detail);
  void FailWithoutEndpoint(Request* request);
  void Enqueue(Request* request);
  void Dequeue(Request* request);
  Request* FirstPending();
  void PrefetchPending() const;
  void ServePending();
  void ArmQueue();
  // Memory for what a request sends; every request needs some, for a moment.
  std::string TakeWire();
  void GiveWire(std::string wire);

  bool MayRetry(const Request& request, ErrorKind kind, bool seen) const;
  bool BudgetSpent() const;
  void Retry(Request* request);

  // From connections.
  void OnRoom(Connection* connection);  // it can take a request, again
  void OnFull(Connection* connection);  // it takes no more
  void OnClosed(Connection* connection);
  void OnConnectFailed(Connection* connection, ErrorKind kind, absl::string_view detail);
  // The final head of the answer is there.
  void OnHead(Request* request, int status);
  // `request`, which was taken from its connection, failed there. It goes elsewhere or ends. `seen`: the upstream may have
  // acted on it; otherwise all of it is in `wire_` again.
  void OnFailed(Request* request, ErrorKind kind, absl::string_view detail, bool seen);
  // The same for another request on a connection whose failure is counted already.
  void OnLost(Request* request, ErrorKind kind, absl::string_view detail, bool seen);
  // The same when `connection`, which had it, is of no use any more and to be closed.
  void OnBroken(Connection* connection, Request* request, ErrorKind kind, absl::string_view detail, bool seen);
  // The connection, which is of no use any more and closed here, had died before it saw `requests`, which were taken from it. Tells none of
  // them anything.
  void Repeat(Connection* connection, absl::Span<Request* const> requests);
  // From requests.
  void OnDone(Request* request, const ErrorKind* error);

  loop::Loop* const loop_;
  UpstreamOptions options_;
  const std::shared_ptr<PoolStats> stats_;
  Balancer balancer_;
  std::vector<std::unique_ptr<Connection>> connections_;
  using Queue = boost::intrusive::list<Request>;  // a request is in one at most: kQueued, kFailing
  Queue pending_;
  Queue failing_;
  std::vector<std::string> spare_wires_;  // of requests that are gone
  size_t spare_bytes_ = 0;
  loop::Deadline queue_deadline_;
  loop::Instant queue_due_;  // what queue_deadline_ is set to
  size_t running_ = 0;    // that were started and not told their end
  size_t retrying_ = 0;   // retries of requests that may have been seen, until their head comes
  bool retired_ = false;
  bool closing_ = false;  // a connection makes room for the retry of its own request
};

}  // namespace gatehouse::upstream
