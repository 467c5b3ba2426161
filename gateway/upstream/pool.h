// Pool keeps connections of one worker to one upstream alive, and gives them to requests.
//
//   auto request = pool.Start(head, &handler);      // nothing is called back inside Start
//   request->SendBody(bytes, /*end=*/false);        // while writable(); OnWritable says when again
//   request.reset();                                // cancel: no callback follows
//
// Endpoints are asked in turn; one that refused a connection rests for a second while others are there.
//
// Ownership:  the Pool owns its connections, the caller its Requests. Requests that outlive the Pool end silently, so
//             destroy it only when running() is 0 or nobody waits any more, and never inside one of its callbacks.
// Threading:  the loop's thread; stats() are read by any.
// Errors:     through the handler's OnError, once, never after OnComplete.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "gateway/base/counter.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/options.h"
#include "gateway/upstream/request.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

// Counted by the pool, read by anybody.
struct PoolStats {
  Counter requests;
  Counter connects;  // attempted
  Counter reused;    // requests that found a kept connection
  Counter repeated;  // requests sent again since a kept connection had died
  Counter open_connections;  // gauge
  Counter idle_connections;  // gauge
  Counter pending;           // gauge
  Counter errors[kErrorKindCount];
};

// Site is an endpoint as the pool sees it.
struct Site {
  loop::Address address;
  std::string name;                // "127.0.0.1:8080"
  std::vector<Connection*> idle;   // the last used is the first to be used again
  loop::Instant resting_until;     // it refused: others first
  bool gone = false;               // not in the options any more
};

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
  const PoolStats& stats() const { return stats_; }
  const UpstreamOptions& options() const { return options_; }
  // Requests that are not done.
  size_t running() const { return running_; }

 private:
  friend class Connection;
  friend class Request;

  Pool(loop::Loop* loop, UpstreamOptions options);
  void Flush() override;
  void OnDeadline(loop::Deadline* deadline) override;

  // Gives `request` a connection or a place in the queue; `fresh` excludes kept connections.
  void Place(Request* request, bool fresh);
  Connection* TakeIdle(const Request& request);
  std::shared_ptr<Site> NextSite();
  void Open(Request* request);
  void FailLater(Request* request, ErrorKind kind);
  void Enqueue(Request* request);
  void Dequeue(Request* request);
  Request* FirstPending();
  void ServePending();
  void ArmQueue();

  // From connections.
  void OnIdle(Connection* connection);
  void OnClosed(Connection* connection);
  void OnConnectFailed(Connection* connection, ErrorKind kind, absl::string_view detail);
  void Repeat(Connection* connection);
  // From requests.
  void OnDone(Request* request, const ErrorKind* error);

  loop::Loop* const loop_;
  UpstreamOptions options_;
  std::vector<std::shared_ptr<Site>> sites_;
  size_t next_site_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::list<Request*> pending_;
  std::list<Request*> failing_;
  loop::Deadline queue_deadline_;
  size_t running_ = 0;
  PoolStats stats_;
};

}  // namespace gatehouse::upstream
