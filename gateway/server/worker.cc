#include "gateway/server/worker.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "gateway/base/hex_pairs.h"
#include "gateway/server/answers.h"
#include "gateway/server/connection.h"
#include "gateway/server/exchange.h"

namespace gatehouse::server {
namespace {

constexpr size_t kReadBuffer = 64 * 1024;
constexpr size_t kJudgeCapacity = 16 * 1024;  // returning clients
constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kTellAgain = absl::Seconds(10);
// Long enough for a client that asks once and goes; short enough that a flood of handshakes does not pile up certificates.
constexpr absl::Duration kFresh = absl::Milliseconds(100);

std::string HttpDate(absl::Time now) {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone());
}

}  // namespace

Worker::Worker(uint16_t index, const WorkerShared& shared)
    : index_(index),
      shared_(shared),
      metrics_(shared.registry->worker(index)),
      clock_(loop_, *shared.clock),
      recorder_(index, shared.event_ring, clock_),
      read_buffer_(kReadBuffer),
      pools_(&loop_),
      judge_(kJudgeCapacity, clock_, &metrics_, shared.desk,
             {&shared.memory->presented, &shared.memory->uses.worker(index), shared.expiry}) {
  credentials::CheckerOptions options = shared.passwords->ForWorker();
  options.post = [this](absl::AnyInvocable<void()> f) { loop_.Post(std::move(f)); };
  checker_ = std::make_unique<credentials::Checker>(std::move(options));
  tick_ = std::make_unique<loop::Timer>(&loop_, [this] { Tick(); });
  fresh_ = std::make_unique<loop::Timer>(&loop_, [this] { SlimFresh(); });
  date_.value = HttpDate(absl::Now());
}

Worker::~Worker() { Stop(); }

void Worker::Start() {
  loop_.Post([this] { tick_->Start(kTick); });
  thread_ = std::thread([this] { loop_.Run(); });
  pthread_setname_np(thread_.native_handle(), absl::StrCat("worker-", index_).c_str());  // as `top -H` shows it
}

void Worker::Stop() {
  if (!thread_.joinable()) return;
  loop_.Post([this] {
    CutAll();
    doors_.clear();
    pools_.Apply({});
    tick_.reset();
    fresh_.reset();
  });
  // A posted Stop comes after the turn in which what was cut is deleted.
  loop_.Post([this] { loop_.Post([this] { loop_.Stop(); }); });
  thread_.join();
}

void Worker::Adopt(std::shared_ptr<const Generation> generation, std::map<std::string, loop::ListenSocket> sockets) {
  std::map<std::string, std::shared_ptr<Edge>> edges;
  for (const std::shared_ptr<Edge>& edge : generation->edges) {
    auto mine = std::make_shared<Edge>(*edge);
    mine->codec.date = &date_;
    edges.emplace(edge->listener->name, std::move(mine));
  }
  generation_ = std::move(generation);
  slot_.Set(generation_->snapshot);
  ++adoptions_;

  for (auto& [name, edge] : edges) {
    Door& door = doors_[name];
    if (door.listener == nullptr) door.listener = std::make_shared<EdgeInForce>();
    door.listener->edge = edge;
    auto socket = sockets.find(name);
    if (socket == sockets.end() || draining_) continue;
    door.acceptor = std::make_unique<loop::Acceptor>(
        &loop_, std::move(socket->second),
        [this, name = name](loop::Fd fd, const loop::Address& peer) { OnAccept(name, std::move(fd), peer); });
    door.exhausted = 0;
  }
  for (auto it = doors_.begin(); it != doors_.end();) {
    if (edges.contains(it->first)) {
      ++it;
      continue;
    }
    it->second.listener->gone = true;
    it = doors_.erase(it);
  }
  std::vector<upstream::UpstreamOptions> upstreams;
  for (const config::Upstream& upstream : slot_.get()->upstreams) {
    if (auto options = shared_.upstreams->For(upstream.name, index_)) upstreams.push_back(*std::move(options));
  }
  pools_.Apply(std::move(upstreams));
  metrics_.snapshot_revision.Set(static_cast<int64_t>(slot_.get()->revision));
  for (auto it = redirects_.begin(); it != redirects_.end();) {
    RedirectConnection& redirect = **it++;
    if (redirect.misplaced()) redirect.Close();
  }
  // In force from here on; what ran before is looked at next.
  sweep_.Begin();
}

void Worker::RefreshUpstream(const std::string& name) {
  upstream::Pool* pool = pools_.Find(name);
  std::optional<upstream::UpstreamOptions> options = shared_.upstreams->For(name, index_);
  if (pool == nullptr || !options.has_value()) return;
  // Another protocol comes with the snapshot, which is on its way.
  if (options->http2 == pool->options().http2) pool->Update(*std::move(options));
}

void Worker::Hear(std::shared_ptr<const RevocationNews> news) {
  judge_.Hear(std::move(news));
  if (slot_.get() != nullptr) sweep_.Begin();
}

void Worker::RecordCut(uint32_t connections, uint32_t streams, uint64_t from_revision) {
  if (connections == 0 && streams == 0) return;
  RecordCut(Reason::kTrustWithdrawn, connections, streams, from_revision, "");
}

void Worker::RecordEnded(uint32_t streams, const std::string& detail) {
  RecordCut(Reason::kPolicyNotMet, 0, streams, slot_.get()->revision, detail);
}

void Worker::RecordCut(Reason reason, uint32_t connections, uint32_t streams, uint64_t from_revision,
                       const std::string& detail) {
  metrics_.connections_cut.Add(connections);
  metrics_.streams_cut.Add(streams);
  events::Event* event = recorder_.Begin(events::EventKind::kCut);
  if (event == nullptr) return;
  event->outcome = events::Outcome::kCut;
  event->reason = reason;
  events::Facts& facts = event->Own();
  facts.connections = connections;
  facts.streams = streams;
  facts.revision = slot_.get()->revision;
  facts.previous_revision = from_revision;
  facts.detail = detail;
  recorder_.Commit();
}

void Worker::Tick() {
  date_.value = HttpDate(absl::Now());
  metrics_.events_dropped.Set(recorder_.dropped());
  for (Connection* c = first_; c != nullptr; c = c->next_) c->Rest();
  // Verdicts run out of freshness while streams run: a certificate that expired does not stay in.
  sweep_.Tick();
  TellTurnedAway();
  tick_->Start(kTick);
}

void Worker::TellTurnedAway() {
  for (auto& [name, door] : doors_) {
    if (door.acceptor == nullptr) continue;
    metrics_.accept_pauses.Add(static_cast<int64_t>(door.acceptor->exhausted() - door.exhausted));
    door.exhausted = door.acceptor->exhausted();
  }
  const int64_t refused = metrics_.connections_refused.value() - refused_told_;
  const int64_t pauses = metrics_.accept_pauses.value() - pauses_told_;
  if ((refused == 0 && pauses == 0) || slot_.get() == nullptr) return;
  if (turned_away_told_.nanos != 0 && loop_.now() - turned_away_told_ < kTellAgain) return;
  turned_away_told_ = loop_.now();  // a ring that is full loses one event and not one a tick
  events::Event* event = recorder_.Begin(events::EventKind::kGateway);
  if (event == nullptr) return;
  std::vector<std::string> told;
  if (refused > 0) told.push_back(absl::StrCat(refused, " connections were closed over a listener's limits of connections"));
  if (pauses > 0) told.push_back(absl::StrCat("accepting paused ", pauses, " times for want of descriptors or memory"));
  event->outcome = events::Outcome::kNotice;
  event->reason = Reason::kLimitExceeded;
  events::Facts& facts = event->Own();
  facts.revision = slot_.get()->revision;
  facts.detail = absl::StrJoin(told, "; ");
  recorder_.Commit();
  refused_told_ += refused;
  pauses_told_ += pauses;
}

AddressCounts::Place Worker::Count(const Edge& edge, const std::string& address_key) {
  AddressCounts::Place place = edge.addresses->Take(address_key, edge.listener->limits.max_connections_per_address);
  if (!place.granted()) metrics_.connections_refused.Add();
  return place;
}

void Worker::NoteFresh(Connection* connection) {
  // In front of those that came while it was handshaking, so that SlimFresh meets it. A sweep that is under way passes it by.
  Unlink(connection);
  Link(connection);
  if (fresh_ != nullptr && !fresh_->active()) fresh_->Start(kFresh);
}

void Worker::SlimFresh() {
  // New ones are in front, and whoever's handshake ended since. Behind the first that is slim nobody waits for it.
  for (Connection* c = first_; c != nullptr && !c->slim(); c = c->next_) c->Slim();
}

void Worker::Drain(bool final_phase) {
  draining_ = true;
  for (auto& [name, door] : doors_) door.acceptor.reset();
  for (Connection* c = first_; c != nullptr;) {
    Connection* next = c->next_;
    c->Drain(final_phase);
    c = next;
  }
  for (auto it = redirects_.begin(); it != redirects_.end();) (*it++)->Drain(final_phase);
}

void Worker::CutAll() {
  for (Connection* c = first_; c != nullptr;) {
    Connection* next = c->next_;
    c->Close();
    c = next;
  }
  while (!redirects_.empty()) redirects_.front()->Close();
}

uint16_t Worker::RouteLabel(const config::Route& route) const {
  // A request that arrived under the generation before may finish under this one.
  return route.index < generation_->route_labels->size() ? (*generation_->route_labels)[route.index]
                                                        : metrics::LabelTable::kOther;
}

void Worker::NextRequestId(char* out) {
  std::memcpy(out, shared_.run.data(), 12);
  PrintHex(uint64_t{index_} << 40 | (next_request_++ & 0xFF'FFFF'FFFF), 6, out + 12);
}

void Worker::LogAccess(const config::Listener& listener, const config::Route* route, bool allowed, const AccessLine& line) {
  const bool own = route != nullptr && route->access_log != nullptr;
  const config::AccessLogRef& log = own ? route->access_log : listener.access_log;
  if (log == nullptr || log->off) return;
  if (allowed && log->sample_one_in > 1 &&
      !(own ? route_log_samples_.Take(route->index, log->sample_one_in)
            : listener_log_samples_.Take(listener.index, log->sample_one_in))) {
    return;
  }
  std::string* text = shared_.access_logs->Begin(index_, log);
  if (text == nullptr) return;
  AppendLine(log->format, line, text);
  shared_.access_logs->Commit(index_);
}

void Worker::OnAccept(const std::string& listener, loop::Fd fd, const loop::Address& peer) {
  auto door = doors_.find(listener);
  if (door == doors_.end() || draining_) return;
  const Edge& edge = *door->second.listener->edge;
  if (*edge.open >= edge.listener->limits.max_connections) {
    metrics_.connections_refused.Add();
    return;  // ~Fd closes it
  }
  if (edge.listener->redirect_only.has_value()) {
    redirects_.push_front(std::make_unique<RedirectConnection>(this, door->second.listener, std::move(fd), peer));
    return redirects_.front()->Start(redirects_.begin());
  }
  auto* connection = new Connection(this, door->second.listener, std::move(fd), peer, ++*shared_.next_connection);
  Link(connection);
  ++connection_count_;
  connection->Start();
}

void Worker::Link(Connection* connection) {
  connection->next_ = first_;
  if (first_ != nullptr) first_->prev_ = connection;
  first_ = connection;
}

void Worker::Unlink(Connection* connection) {
  sweep_.Forget(connection);
  if (connection->prev_ != nullptr) connection->prev_->next_ = connection->next_;
  if (connection->next_ != nullptr) connection->next_->prev_ = connection->prev_;
  if (first_ == connection) first_ = connection->next_;
  connection->prev_ = connection->next_ = nullptr;
}

void Worker::Retire(RedirectConnection::List::iterator redirect) {
  loop_.DeferDelete(std::move(*redirect));
  redirects_.erase(redirect);
}

void Worker::Retire(Connection* connection) {
  Unlink(connection);
  --connection_count_;
  loop_.DeferDelete(std::unique_ptr<Connection>(connection));
}

absl::Span<const uint32_t> Worker::Admitting(const Edge& edge, const config::Name& name) {
  const config::Listener& listener = *edge.listener;
  if (listener.verify_with != config::kNoScheme) return absl::MakeConstSpan(&listener.verify_with, 1);
  return name.certificate_schemes;
}

uint64_t Worker::AcceptingScheme(const Peer& peer, const Edge& edge, const config::Name& name, uint64_t hint,
                                 bool proven) {
  const config::Snapshot& snapshot = *edge.snapshot;
  const absl::Span<const uint32_t> schemes = Admitting(edge, name);
  const auto accepts = [&](const config::Scheme& scheme) {
    return judge_.Of(peer, scheme, proven)->outcome == certs::Outcome::kValid;
  };
  // Of a hundred schemes one accepts: the rest need not be asked when it is known which.
  for (uint32_t index : schemes) {
    const config::Scheme& scheme = snapshot.scheme(index);
    if (scheme.epoch == hint && accepts(scheme)) return hint;
  }
  for (uint32_t index : schemes) {
    if (judge_.KnowsValid(peer, snapshot.scheme(index))) return snapshot.scheme(index).epoch;
  }
  for (uint32_t index : schemes) {
    if (accepts(snapshot.scheme(index))) return snapshot.scheme(index).epoch;
  }
  return 0;
}

bool Worker::Resumable(const Peer& peer, const Edge& edge, absl::string_view server_name, bool proven) {
  return AcceptingScheme(peer, edge, edge.listener->NameFor(server_name), 0, proven) != 0;
}

bool Worker::AcceptsCertificate(const Connection& connection) {
  const Edge& edge = connection.edge();
  return connection.peer() != nullptr &&
         AcceptingScheme(*connection.peer(), edge, edge.listener->NameFor(connection.server_name()), connection.accepted_,
                         /*proven=*/true) != 0;
}

bool Worker::Welcome(Connection* connection) {
  if (connection->listener_->gone || connection->edge().tls == nullptr) return false;
  const Edge& edge = connection->edge();
  const config::Name& name = edge.listener->NameFor(connection->server_name());
  connection->judged_ = name.trust_epoch;
  connection->judged_news_ = judge_.news();
  if (connection->peer_ == nullptr) {
    // Never asked, and would be now; or REQUIRE, and none was sent.
    return name.client_certificate == config::ClientCertificate::kNone ||
           (connection->asked_ && name.client_certificate == config::ClientCertificate::kAllow);
  }
  uint64_t accepts = AcceptingScheme(*connection->peer_, edge, name, connection->accepted_, /*proven=*/true);
  // Whom something let in, and nothing does now, is given the time that answers need.
  if (connection->accepted_ != 0 && accepts == 0) {
    for (uint32_t index : Admitting(edge, name)) {
      const config::Scheme& scheme = edge.snapshot->scheme(index);
      if (connection->StandingWith(scheme) == Connection::Standing::kRefused) continue;
      accepts = scheme.epoch;
      break;
    }
  }
  // A certificate that never was accepted did not let anybody in: who speaks here does so by other means.
  const bool withdrawn = connection->accepted_ != 0 && accepts == 0;
  connection->spared_ = withdrawn && !connection->exchanges_.empty();
  if (!connection->spared_) connection->accepted_ = accepts;
  return !withdrawn || connection->spared_;
}

tls::Presented Worker::OnPresented(tls::TlsSession& session, absl::Span<X509* const> chain) {
  auto* connection = static_cast<Connection*>(session.owner());
  const config::Listener& listener = *connection->edge().listener;
  if (listener.verify_with == config::kNoScheme || chain.empty()) return tls::Presented::kGoOn;
  // Possession is not proven yet: the verdict is told, and remembered nowhere.
  PeerRef peer = judge_.Recognise(chain, /*remember=*/false);
  JudgementRef judgement = judge_.Of(*peer, connection->edge().snapshot->scheme(listener.verify_with), false);
  // What must be asked is asked once possession is proven: else no client would ever be known. No request is looked at
  // before (Exchange::PassesListener).
  if (judgement->outcome != certs::Outcome::kInvalid) return tls::Presented::kGoOn;
  handshake_of_ = connection;
  handshake_reason_ = judgement->reason;
  connection->peer_ = std::move(peer);
  switch (judgement->reason) {
    case Reason::kUnknownIssuer:
    case Reason::kNotPinned: return tls::Presented::kUnknownCa;
    case Reason::kExpired:
    case Reason::kNotYetValid: return tls::Presented::kExpired;
    case Reason::kRevoked: return tls::Presented::kRevoked;
    default: return tls::Presented::kBadCertificate;
  }
}

std::optional<tls::SessionBinding> Worker::MayStore(tls::TlsSession& session) {
  auto* connection = static_cast<Connection*>(session.owner());
  std::vector<X509*> chain = session.PresentedChain();
  PeerRef peer = session.resumed() ? std::static_pointer_cast<const Peer>(session.attached().user)
                 : chain.empty()   ? nullptr
                                   : judge_.Recognise(chain);
  // Without a certificate only where none could be sent; with one only while some scheme accepts it.
  if (peer == nullptr) {
    if (session.name()->client_certificate != tls::ClientCertificate::kNone) return std::nullopt;
    return tls::SessionBinding{};
  }
  if (!Resumable(*peer, connection->edge(), session.sni(), /*proven=*/true)) return std::nullopt;
  return tls::SessionBinding{peer, peer->footprint};
}

std::shared_ptr<const void> Worker::Revive(tls::TlsSession&, const std::vector<std::string>& presented) {
  return judge_.Recognise(absl::MakeConstSpan(presented));
}

bool Worker::MayResume(tls::TlsSession& session, const tls::SessionRecord& record) {
  auto* connection = static_cast<Connection*>(session.owner());
  auto peer = std::static_pointer_cast<const Peer>(record.binding.user);
  if (peer == nullptr) {
    return connection->edge().listener->NameFor(session.sni()).client_certificate == config::ClientCertificate::kNone;
  }
  // The binder, which proves that the client has the session, is looked at after this.
  return Resumable(*peer, connection->edge(), session.sni(), /*proven=*/false);
}

std::optional<Reason> Worker::TakeHandshakeReason(const Connection* connection) {
  if (handshake_of_ != connection) return std::nullopt;
  handshake_of_ = nullptr;
  return handshake_reason_;
}

void Worker::RecordHandshakeFailure(const Connection& connection, Reason reason, absl::string_view detail) {
  events::Event* event = recorder_.Begin(events::EventKind::kHandshake);
  if (event == nullptr) return;
  event->outcome = events::Outcome::kRefused;
  event->reason = reason;
  events::Facts& facts = event->Own();
  facts.peer = connection.facts();
  facts.revision = connection.edge().snapshot->revision;
  facts.detail = std::string(detail);
  recorder_.Commit();
}

http::Answer Worker::RefuseProtocolError(const Connection& connection, const http::ProtocolError& error) {
  Reason reason = error.malformed ? Reason::kMalformedRequest : Reason::kLimitExceeded;
  metrics_.CountRequest(metrics::LabelTable::kOther, reason, error.status, absl::ZeroDuration());
  char id[kRequestIdSize];
  NextRequestId(id);
  const absl::string_view request_id(id, kRequestIdSize);
  http::Answer answer = ProblemAnswer(error, request_id);
  if (error.status != 0 && connection.edge().listener->access_log != nullptr) {
    const std::string client = connection.host();
    AccessLine line;
    line.time = clock_.Now();
    line.client = client;
    line.http_version = connection.codec_ != nullptr ? connection.codec_->version() : 11;
    line.tls_version = connection.tls_version();
    line.status = error.status;
    line.reason = reason;
    line.bytes_out = answer.body.size();
    line.listener = connection.edge().listener->name;
    line.request_id = request_id;
    LogAccess(*connection.edge().listener, nullptr, false, line);
  }
  events::Event* event = recorder_.Begin(events::EventKind::kDecision);
  if (event == nullptr) return answer;
  event->outcome = events::Outcome::kRefused;
  event->reason = reason;
  event->status = static_cast<uint16_t>(error.status);
  event->http_version = connection.codec_ != nullptr && connection.codec_->version() == 20 ? 2 : 1;
  event->SetRequest({.method = {}, .host = {}, .path = {}, .request_id = request_id});
  events::Facts& facts = event->Own();
  facts.peer = connection.facts();
  facts.revision = connection.edge().snapshot->revision;
  facts.detail = std::string(error.text);
  recorder_.Commit();
  return answer;
}

}  // namespace gatehouse::server
