// Worker is one thread of the data plane: a loop, its listening sockets, its connections and its caches. It shares with
// other workers only what is immutable (snapshots, TLS contexts) or locked (session cache, throttle, password cache).
//
// Ownership:  owns its connections, acceptors and pools; borrows WorkerShared, which outlives it.
// Threading:  Start, Stop, Post and the constructor from the gateway's thread; everything else on its loop.
// Errors:     none of its own; what clients do wrong ends their connection.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gateway/base/clock.h"
#include "gateway/config/slot.h"
#include "gateway/config/snapshot.h"
#include "gateway/credentials/checker.h"
#include "gateway/events/recorder.h"
#include "gateway/http/codec_factory.h"
#include "gateway/http/fixed_response.h"
#include "gateway/http/trace_context.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/loop.h"
#include "gateway/loop/turn_clock.h"
#include "gateway/metrics/registry.h"
#include "gateway/server/access_line.h"
#include "gateway/server/access_logs.h"
#include "gateway/server/edge.h"
#include "gateway/server/expiry_warner.h"
#include "gateway/server/forwarded_request.h"
#include "gateway/server/gateway.h"
#include "gateway/server/passwords.h"
#include "gateway/server/peer.h"
#include "gateway/server/redirect_connection.h"
#include "gateway/server/sampler.h"
#include "gateway/server/snapshot_age.h"
#include "gateway/server/sweep.h"
#include "gateway/server/upstream_tls.h"
#include "gateway/tls/tls_session.h"
#include "gateway/upstream/directory.h"
#include "gateway/upstream/pools.h"
#include "gateway/delegate/desk.h"

namespace gatehouse::server {

class Connection;

// What the workers of one gateway have in common.
struct WorkerShared {
  const Clock* clock = nullptr;
  Passwords* passwords = nullptr;
  metrics::Registry* registry = nullptr;
  RevocationDesk* desk = nullptr;
  delegate::Desk* validators = nullptr;
  const upstream::Directory* upstreams = nullptr;
  Memory* memory = nullptr;
  ExpiryWarner* expiry = nullptr;
  const SnapshotAge* age = nullptr;
  std::atomic<uint64_t>* next_connection = nullptr;
  std::string run;  // 12 hex digits, the beginning of request ids
  AccessLogs* access_logs = nullptr;
  std::function<bool()> events_kept;  // GatewayOptions
  size_t event_ring = 8192;           // GatewayOptions
};

// Generation is one snapshot made ready to run: what each worker adopts.
struct Generation {
  std::shared_ptr<const config::Snapshot> snapshot;
  std::vector<std::shared_ptr<Edge>> edges;  // in order of the snapshot's listeners
  std::shared_ptr<const std::vector<uint16_t>> route_labels;  // by route index, for the metrics
  // Fixed responses as they go on the wire, by route index; null for routes with another action.
  std::shared_ptr<const std::vector<std::shared_ptr<const http::FixedResponse>>> fixed;
  std::vector<uint16_t> scheme_labels;
  UpstreamTlsContexts upstream_tls;
};

class Worker final : public tls::TlsHooks {
 public:
  Worker(uint16_t index, const WorkerShared& shared);
  ~Worker() override;

  void Start();
  // Stop ends the loop and joins the thread; connections are cut.
  void Stop();
  void Post(absl::AnyInvocable<void()> f) { loop_.Post(std::move(f)); }
  events::Recorder& recorder() { return recorder_; }

  // On the loop. `sockets` are this worker's, for the listeners whose address is new, by listener name.
  void Adopt(std::shared_ptr<const Generation> generation, std::map<std::string, loop::ListenSocket> sockets);
  // What became known about revocation: verdicts that it concerns are judged anew at next use, and a sweep looks at those
  // who ask nothing.
  void Hear(std::shared_ptr<const RevocationNews> news);
  // The addresses of an upstream changed.
  void RefreshUpstream(const std::string& name);
  // First phase: stop accepting, tell clients. Second: refuse what they still open.
  void Drain(bool final_phase);
  // CutAll ends every connection.
  void CutAll();
  size_t connections() const { return connection_count_ + redirects_.size(); }
  bool draining() const { return draining_; }
  // Its handshake ended well, and it was judged just now.
  void NoteFresh(Connection* connection);

  // What connections and exchanges use.
  loop::Loop& loop() { return loop_; }
  tls::TlsHooks& hooks() { return *this; }
  tls::Cork& cork() { return cork_; }
  http::CodecShared& codec_shared() { return codec_shared_; }
  http::OutBuffer& out() { return out_; }
  absl::Span<char> read_buffer() { return absl::MakeSpan(read_buffer_); }
  Judge& judge() { return judge_; }
  RevocationDesk* desk() const { return shared_.desk; }
  credentials::Checker& checker() { return *checker_; }
  delegate::Desk& validators() { return *shared_.validators; }
  const SnapshotAge& age() const { return *shared_.age; }
  metrics::WorkerMetrics& metrics() { return metrics_; }
  // As of the loop's turn.
  const loop::TurnClock& clock() const { return clock_; }
  const std::shared_ptr<const config::Snapshot>& snapshot() const { return slot_.shared(); }
  const config::SnapshotPin& pin() const { return slot_.pin(); }
  const Generation& generation() const { return *generation_; }
  // How many snapshots there were: the number of the one in force.
  uint64_t adoptions() const { return adoptions_; }
  upstream::Pools& pools() { return pools_; }
  uint16_t RouteLabel(const config::Route& route) const;
  // REQUIRES: the route is of the snapshot in force and its action is a fixed response.
  const std::shared_ptr<const http::FixedResponse>& fixed(const config::Route& route) const {
    return (*generation_->fixed)[route.index];
  }
  // Lower-case hex, unique over all gateways' runs with high probability; written to `out[kRequestIdSize]`.
  static constexpr size_t kRequestIdSize = 24;
  void NextRequestId(char* out);

  http::RandomIds& random_ids() { return random_ids_; }
  // For the request that is being passed on now.
  ForwardedRequest& forwarded() { return forwarded_; }
  // A place for the event of a request that may go on only if it is told (Recorder::Reserve).
  bool ReserveEvent() { return (!shared_.events_kept || shared_.events_kept()) && recorder_.Reserve(); }
  // Which of the requests that a route let in become events.
  Sampler& event_samples() { return event_samples_; }
  // One line for a request that ended, where its route or its listener logs, unless sampling leaves it out. `route` may be null.
  void LogAccess(const config::Listener& listener, const config::Route* route, bool allowed, const AccessLine& line);

  // Connection's end: deleted by Loop::DeferDelete.
  void Retire(Connection* connection);
  void Retire(RedirectConnection::List::iterator redirect);
  // A place among the listener's connections for a client at `address_key`; not granted: it has too many already.
  AddressCounts::Place Count(const Edge& edge, const std::string& address_key);
  // Whether the connection may stay under the snapshot in force: its listener is there, its handshake asked for what is
  // asked for now, and a certificate that was accepted still is, or streams run. Notes the judgement in the connection.
  bool Welcome(Connection* connection);
  // Whether a certificate scheme that is reachable on the connection's name accepts its certificate; from memory, unless it
  // was not judged yet.
  bool AcceptsCertificate(const Connection& connection);
  // Nothing cut is no event. `from_revision`: the last under which it was admitted.
  void RecordCut(uint32_t connections, uint32_t streams, uint64_t from_revision);
  // Streams that a policy ended, without any change. `detail`: which clause of which, for one of them.
  void RecordEnded(uint32_t streams, const std::string& detail);
  std::optional<Reason> TakeHandshakeReason(const Connection* connection);
  void RecordHandshakeFailure(const Connection& connection, Reason reason, absl::string_view detail);
  // For what no exchange answers for: the event, and the answer's words.
  http::Answer RefuseProtocolError(const Connection& connection, const http::ProtocolError& error);

 private:
  friend class Sweep;
  struct Door {  // one listener of this worker
    std::shared_ptr<EdgeInForce> listener;
    std::unique_ptr<loop::Acceptor> acceptor;
    uint64_t exhausted = 0;  // of the acceptor, as of the last tick
  };

  // tls::TlsHooks
  tls::Presented OnPresented(tls::TlsSession& session, absl::Span<X509* const> chain) override;
  std::optional<tls::SessionBinding> MayStore(tls::TlsSession& session) override;
  std::shared_ptr<const void> Revive(tls::TlsSession& session, const std::vector<std::string>& presented) override;
  bool MayResume(tls::TlsSession& session, const tls::SessionRecord& record) override;

  void RecordCut(Reason reason, uint32_t connections, uint32_t streams, uint64_t from_revision, const std::string& detail);
  void OnAccept(const std::string& listener, loop::Fd fd, const loop::Address& peer);
  // The client certificate schemes of which one must accept a connection's certificate: those reachable through this
  // name; with `verify_with` that one.
  static absl::Span<const uint32_t> Admitting(const Edge& edge, const config::Name& name);
  // The epoch of one of them that accepts the peer; 0: none does. `hint`: the epoch of one that did before, asked first.
  // `proven` false: possession is not yet, and the question leaves no trace.
  uint64_t AcceptingScheme(const Peer& peer, const Edge& edge, const config::Name& name, uint64_t hint, bool proven);
  bool Resumable(const Peer& peer, const Edge& edge, absl::string_view server_name, bool proven);
  void Tick();
  // Connections that were turned away since the last time this was told: an event, at most one in ten seconds.
  void TellTurnedAway();
  void SlimFresh();
  void Link(Connection* connection);
  void Unlink(Connection* connection);

  const uint16_t index_;
  const WorkerShared shared_;
  metrics::WorkerMetrics& metrics_;
  loop::Loop loop_;
  const loop::TurnClock clock_;
  events::Recorder recorder_;
  config::Slot slot_;
  std::shared_ptr<const Generation> generation_;
  uint64_t adoptions_ = 0;
  http::CodecShared codec_shared_;
  http::DateCache date_;
  tls::Cork cork_;
  http::OutBuffer out_;
  std::vector<char> read_buffer_;
  upstream::Pools pools_;
  Judge judge_;
  std::unique_ptr<credentials::Checker> checker_;
  std::map<std::string, Door> doors_;  // by listener
  RedirectConnection::List redirects_;
  Connection* first_ = nullptr;
  size_t connection_count_ = 0;
  Sweep sweep_{this};
  int64_t refused_told_ = 0;
  int64_t pauses_told_ = 0;
  loop::Instant turned_away_told_;
  bool draining_ = false;
  uint64_t next_request_ = 0;
  http::RandomIds random_ids_;
  ForwardedRequest forwarded_;
  Sampler event_samples_, route_log_samples_, listener_log_samples_;
  const Connection* handshake_of_ = nullptr;  // whose certificates a hook refused, and why
  Reason handshake_reason_ = Reason::kNone;
  std::unique_ptr<loop::Timer> tick_;
  std::unique_ptr<loop::Timer> fresh_;
  std::thread thread_;
};

}  // namespace gatehouse::server
