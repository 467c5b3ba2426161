// Connection is one client: a TCP socket, its TLS session, its codec and the exchanges that run on it.
//
//   kHandshaking --handshake done--> kServing --drain--> kDraining --last exchange done--> kLingering --> kClosed
//        |                              |  error, timeout, peer gone                          ^
//        `------ failed, timed out -----+-----------------------------------------------------'
//
// kHandshaking  TLS, behind a load balancer's PROXY header where one is demanded; nothing of the client is believed yet
// kServing      requests come and go
// kDraining     no new requests (GOAWAY, Connection: close); what runs may end
// kLingering    our side is shut down; the peer's rest is read and thrown away for a moment, so that it sees our last
//               bytes and not a reset
// kClosed       waits for its deferred deletion
//
// Ownership:  owned by the worker's list; owns socket, session, codec and exchanges. Keeps its listener's edge alive.
// Threading:  the worker's loop only.
// Errors:     ends itself, telling the worker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/credentials/checker.h"
#include "gateway/events/event.h"
#include "gateway/http/codec.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/loop.h"
#include "gateway/loop/proxy_reader.h"
#include "gateway/server/decision_facts.h"
#include "gateway/server/edge.h"
#include "gateway/server/peer.h"
#include "gateway/server/revocation_wait.h"
#include "gateway/tls/tls_session.h"

namespace gatehouse::server {

class Exchange;
class Sweep;
class Worker;

// What a connection remembers of the user who spoke last, so that the same Authorization field costs little.
struct BasicMemory {
  credentials::CheckMemo memo;
  credentials::UserRef user;
  uint64_t epoch = 0;  // of the scheme
  identity::IdentityRef identity;
};

class Connection final : public loop::Flushable, public loop::DeadlineHandler, public http::CodecHandler {
 public:
  Connection(Worker* worker, std::shared_ptr<const EdgeInForce> listener, loop::Fd fd, const loop::Address& address, uint64_t id);
  ~Connection() override;

  // Start begins the handshake with what is there already (TCP_DEFER_ACCEPT).
  void Start();
  // Drain stops new requests: phase 1 tells the client, phase 2 refuses what it still opens.
  void Drain(bool final_phase);
  // Slim lets go of what the handshake left: shortly after it, since a client that asks once and goes is spared the work.
  void Slim();
  bool slim() const { return slim_; }
  // Called once a second: one that has been idle since the call before lets go of the memory for requests.
  void Rest();
  // Whether Sweep has something to look at: streams, or (with `idle`) trust that changed since it was judged.
  bool NeedsSweep(bool streams_only) const;
  // Sweep re-judges what runs here under the snapshot in force, and cuts what is no longer admitted.
  struct Swept {
    uint32_t withdrawn = 0;  // streams that were cut by a change
    uint32_t ended = 0;      // streams that were cut by a policy that holds no longer
    std::string detail;      // which, of one of them
    bool closing = false;    // the connection itself goes
  };
  Swept Sweep();
  // Close ends it now; exchanges that run are cut.
  void Close();

  // What exchanges ask.
  Worker* worker() const { return worker_; }
  Edge& edge() const { return *listener_->edge; }
  http::ServerCodec& codec() { return *codec_; }
  const PeerRef& peer() const { return peer_; }
  PeerVerdicts& verdicts() { return verdicts_; }
  // Whether `scheme`, which let the peer in, still does. A verdict that ran out while its answers must be fetched anew is
  // given time for that (kWaiting): nobody is cut for a responder that is a second late.
  enum class Standing : uint8_t { kAccepted, kWaiting, kRefused };
  // `judgement`, unless null, gets the one that says so.
  Standing StandingWith(const config::Scheme& scheme, JudgementRef* judgement = nullptr);
  // Whether what the listener demands in the handshake (`verify_with`) still holds, or may yet: see kWaiting.
  bool PassesListener();
  // A scheme accepted the certificate for a request.
  void NoteAccepted(uint64_t epoch) { accepted_ = epoch; }
  const events::PeerAddress& address() const { return address_; }
  // REQUIRES: it was counted against the limit of its address, as all are that serve.
  const std::string& address_key() const { return counted_.key(); }
  const loop::Address& remote() const { return remote_; }
  std::string host() const { return remote_.host(); }
  const std::string& server_name() const { return tls_->sni(); }
  absl::string_view tls_version() const { return tls_->version(); }
  uint64_t id() const { return id_; }
  // When the request that is being handed out began to come.
  loop::Instant request_since() const;
  bool resumed() const { return resumed_; }
  BasicMemory& basic();
  // The exchange's answer is complete, or it gave up; it is deleted by Loop::DeferDelete.
  void Finished(http::StreamId stream);
  // Output was given to the codec.
  void Wake();
  // What every event about this connection has in common. Made once it is established, again after a rest.
  std::shared_ptr<const events::PeerFacts> facts() const;
  DecisionFacts& decision_facts();

 private:
  friend class Worker;
  friend class gatehouse::server::Sweep;
  enum class State : uint8_t { kHandshaking, kServing, kDraining, kLingering, kClosed };

  // http::CodecHandler
  void OnRequest(http::StreamId id, http::RequestHead&& head) override;
  void OnBody(http::StreamId id, absl::string_view data, bool end) override;
  void OnTrailers(http::StreamId id, http::FieldList&& trailers) override;
  void OnReset(http::StreamId id, uint32_t code) override;
  void OnStreamClosed(http::StreamId id) override;
  void OnBodyWritable(http::StreamId id) override;
  http::Answer OnProtocolError(const http::ProtocolError& error) override;
  // loop
  void Flush() override;
  void OnDeadline(loop::Deadline* deadline) override;

  void OnReady(bool readable, bool writable);
  void Handshake();
  // The PROXY header, where one is demanded. False: it is not all there, or the connection was closed.
  bool Introduced();
  // Counts the client against the limit of its address. False: closed.
  bool Counted();
  void Established();
  void HandshakeFailed();
  // What a handshake that failed had presented: for its event, and believed nowhere.
  void NotePresented();
  void ReadAll();
  void Digest(absl::string_view bytes);
  // Encrypts what the codec has to say, as much as may wait for the client. False: closed.
  bool Encode();
  void ArmDeadline();
  // There are octets of the client's that were not read.
  bool Readable() const;
  // Our side ends: close_notify is sent, then FIN.
  void Finish();
  void Linger();
  void EndExchanges();
  Exchange* Find(http::StreamId id);
  std::unique_ptr<Exchange> Take(http::StreamId id);

  Worker* const worker_;
  const std::shared_ptr<const EdgeInForce> listener_;  // what the listener says now
  const std::shared_ptr<Edge> born_;  // the edge it was accepted on: TLS context and limits
  loop::Fd fd_;
  loop::Address remote_;  // the client; behind a load balancer, once it is introduced
  events::PeerAddress address_;
  const uint64_t id_;
  State state_ = State::kHandshaking;
  http::ServerCodec::Phase armed_ = http::ServerCodec::Phase::kActive;
  bool resumed_ = false;
  bool eof_ = false;
  bool half_done_ = false;  // switched to WebSocket: close_notify was sent, and the client may go on
  bool asked_ = false;   // for a certificate, in its handshake
  bool spared_ = false;    // none does any more, but other streams run
  bool refused_ = false;  // the codec refused something: linger, so that the answer is seen
  bool unread_body_ = false;  // HTTP/1.1: the client may still be sending what was answered already
  bool in_codec_ = false;
  bool busy_ = true;     // something was read since the last Rest
  bool rested_ = false;
  bool slim_ = false;    // the session's certificates were dropped
  bool output_armed_ = false;  // the deadline is the write timeout
  AddressCounts::Place counted_;
  std::unique_ptr<loop::ProxyReader> proxy_;  // null: no PROXY header is awaited
  std::unique_ptr<tls::TlsSession> tls_;
  std::unique_ptr<http::ServerCodec> codec_;
  std::unique_ptr<loop::Watch> watch_;
  loop::Deadline deadline_;
  uint64_t progress_ = 0;  // the codec's, when the deadline was last armed
  loop::Instant head_since_;  // HTTP/1.1: when the first octet of a head came that was not whole
  PeerRef peer_;  // null: no certificate
  mutable std::shared_ptr<const events::PeerFacts> facts_;  // of facts(); null: not asked for since it was established, or rested
  std::unique_ptr<DecisionFacts> decision_facts_;  // null: likewise
  uint64_t judged_ = 0;    // config::Name::trust_epoch under which it was last judged
  uint64_t accepted_ = 0;  // epoch of the scheme, reachable on its name, that accepted its certificate then; 0: none did
  uint64_t judged_news_ = 0;  // Judge::news() then
  PeerVerdicts verdicts_;
  // By scheme epoch; empty but while a verdict ran out.
  std::vector<std::pair<uint64_t, std::unique_ptr<RevocationWait>>> waits_;
  std::unique_ptr<BasicMemory> basic_;
  absl::flat_hash_map<http::StreamId, std::unique_ptr<Exchange>> exchanges_;
  Connection* prev_ = nullptr;
  Connection* next_ = nullptr;
};

}  // namespace gatehouse::server
