// Distributor brings the newest revision to every gateway, and knows which of them have what in force.
//
// Latest wins: a gateway has at most one update under way; when it answers, it gets the newest revision there is then,
// and never sees those in between. A gateway that refuses keeps its last good revision; an event says so. Each
// gateway's session:
//
//   kIdle --newer revision--> kUpdating --Ack, Nack--> kIdle        (any) --Disconnect, replaced--> gone
//
// Who has the newest hears so at every heartbeat: a gateway knows how old its configuration is.
//
// Ownership:  sessions must be destroyed before the distributor; endpoints are shared with their sessions.
// Threading:  thread-safe. Endpoints, `notify` and completions are called without a lock; completions on the alarm
//             thread.
// Errors:     Connect: INVALID_ARGUMENT (name), ALREADY_EXISTS (name is taken exclusively), RESOURCE_EXHAUSTED.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/publish/alarms.h"
#include "control/publish/endpoint.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/config/build_set.h"
#include "gatehouse/v1/config_service.pb.h"
#include "gatehouse/v1/event.pb.h"
#include "gatehouse/v1/status_service.pb.h"

namespace gatehouse::publish {

class Session;

struct DistributorOptions {
  size_t max_gateways = 10'000;          // known, connected or not
  size_t max_history = 1'000;            // revisions from which a delta can be made
  size_t max_touched = 100'000;          // resources in the changes between them, counted each time (some 15 MiB)
  size_t max_delta_bytes = 1024 * 1024;  // above, the whole set is sent in chunks
  size_t max_deltas_bytes = 64 * 1024 * 1024;  // of all deltas to the newest revision; what has no room is the whole set
  absl::Duration heartbeat = absl::Seconds(5);  // how often gateways hear that theirs is the newest
};

class Distributor {
 public:
  // Hears about gateways that come, go and refuse. Must be quick.
  using Notify = std::function<void(v1::Event)>;

  // REQUIRES: every option > 0; clock and alarms outlive this.
  Distributor(std::string incarnation, const Clock& clock, Alarms& alarms, Notify notify,
              DistributorOptions options = {});
  ~Distributor();
  Distributor(const Distributor&) = delete;
  Distributor& operator=(const Distributor&) = delete;

  // Publish makes `resources` the newest revision. A revision that is not above the newest is ignored.
  void Publish(uint64_t revision, config::ResourceMap resources);

  // Connect adds a gateway. One of the same name that is still connected is closed: the newer connection counts.
  absl::StatusOr<std::unique_ptr<Session>> Connect(GatewayHello hello, std::shared_ptr<Endpoint> endpoint);

  // Forget ends the stream of a gateway that was removed, and knows nothing of it any more. NOT_FOUND; FAILED_PRECONDITION (the
  // embedded one).
  absl::Status Forget(const std::string& name);

  // WaitInForce calls `done` once, when every connected gateway has `revision` or a later one in force or has refused
  // it, or after `timeout`. A gateway that goes away meanwhile is waited for, too. Dropped without a call when this
  // is destroyed.
  void WaitInForce(uint64_t revision, absl::Duration timeout, absl::AnyInvocable<void(v1::ForceStatus)> done);

  uint64_t revision() const;
  std::vector<v1::GatewayStatus> Gateways() const;

  // Calls `changed`, without a lock, whenever a gateway came, went, took or refused a revision, until the ticket is destroyed; its
  // destructor waits for a call that runs. Must be quick.
  class Listener;
  std::unique_ptr<Listener> Listen(std::function<void()> changed);

 private:
  friend class Session;
  struct Gateway;
  struct Step;
  struct Wait;
  struct Core;
  void Answer(uint64_t session, uint64_t revision, const google::protobuf::RepeatedPtrField<v1::Violation>* refused);
  void Disconnect(uint64_t session);
  void Report(uint64_t session, v1::GatewayLoad load);

  // Shared with alarms that may ring after this is gone.
  const std::shared_ptr<Core> core_;
};

class Distributor::Listener {
 public:
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  friend class Distributor;
  struct Line;
  explicit Listener(std::shared_ptr<Line> line) : line_(std::move(line)) {}
  const std::shared_ptr<Line> line_;
};

// Session is one connected gateway's line to the distributor; destroying it disconnects.
//
// Threading: thread-safe.
class Session {
 public:
  ~Session() { distributor_.Disconnect(id_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The gateway has `revision` in force on every worker; the newest even after it refused it. An answer to nothing that
  // was asked is ignored.
  void Ack(uint64_t revision) { distributor_.Answer(id_, revision, nullptr); }
  // The gateway refuses `revision` and keeps what it has.
  void Nack(uint64_t revision, const google::protobuf::RepeatedPtrField<v1::Violation>& violations) {
    distributor_.Answer(id_, revision, &violations);
  }
  // How busy the gateway says that it is.
  void Report(v1::GatewayLoad load) { distributor_.Report(id_, std::move(load)); }

 private:
  friend class Distributor;
  Session(Distributor& distributor, uint64_t id) : distributor_(distributor), id_(id) {}

  Distributor& distributor_;
  const uint64_t id_;
};

}  // namespace gatehouse::publish
