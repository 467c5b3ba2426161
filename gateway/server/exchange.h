// Exchange is one request and its one story: perimeter passed -> route -> proof -> answer, with exactly one decision
// event. It decides under the snapshot that was in force when the request arrived.
//
//   kDeciding --Allow, direct--> kDone            kDeciding --refused--> kDone
//        |  ^ password hash or revocation pending, asked again
//        `--Allow, upstream--> kProxying --complete, error, client gone--> kDone
//
// kDeciding  a scheme's answer is awaited; request body is held back by flow control
// kProxying  the request is with the upstream, bytes flow both ways
// kDone      nothing more is called
//
// Ownership:  owned by its connection; pins the snapshot, owns its password checks and the upstream request.
// Threading:  the worker's loop only.
// Errors:     answered to the client (answers.h) and told by the event.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/authn/decision.h"
#include "gateway/base/recycled.h"
#include "gateway/config/slot.h"
#include "gateway/config/snapshot.h"
#include "gateway/events/event.h"
#include "gateway/http/codec.h"
#include "gateway/identity/identity.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/instant.h"
#include "gateway/server/basic_checks.h"
#include "gateway/server/client_origin.h"
#include "gateway/server/connection.h"
#include "gateway/server/revocation_wait.h"
#include "gateway/server/websocket.h"
#include "gateway/upstream/request.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::server {

class Worker;

// Why a running exchange's admission is gone.
struct Withdrawal {
  // kTrustWithdrawn: trust, a user, a route or a policy changed. kPolicyNotMet: what a policy asks for came to its end.
  Reason reason = Reason::kTrustWithdrawn;
  std::string detail = {};  // which policy and clause
};

class Exchange final : public Recycled<Exchange>,
                       public upstream::ResponseHandler,
                       public authn::SchemeSource,
                       private BasicChecks::Request,
                       private loop::DeadlineHandler {
 public:
  Exchange(Connection* connection, http::StreamId stream, loop::Instant now);
  ~Exchange() override;

  // Start decides what can be decided at once. True: answered, and this may be dropped. Otherwise `head` was taken.
  bool Start(http::RequestHead&& head);

  // From the codec.
  void OnBody(absl::string_view data, bool end);
  void OnClientTrailers(http::FieldList&& trailers);
  void OnClientReset();
  void OnClientWritable();
  // The client broke a rule in the middle of its request: ends it, and words the answer. REQUIRES: !recorded().
  http::Answer OnProtocolError(const http::ProtocolError& error);

  // Readmit says why `snapshot`, which is in force, would not admit this running exchange now; nullopt: it would.
  std::optional<Withdrawal> Readmit(const config::Snapshot& snapshot);
  // Cut ends it: its admission is gone.
  void Cut(const Withdrawal& withdrawal);
  bool running() const { return state_ == State::kProxying; }
  bool deciding() const { return state_ == State::kDeciding; }
  bool recorded() const { return recorded_; }

 private:
  enum class State : uint8_t { kDeciding, kProxying, kDone };

  // authn::SchemeSource
  authn::SchemeResult Check(uint32_t index) override;
  authn::SchemeResult CheckCertificate(const config::Scheme& scheme);
  // Who is let in stays so while answers are fetched anew.
  authn::SchemeResult RecheckCertificate(const config::Scheme& scheme);
  // What the policies of `requirement` are asked about now.
  authn::RequestFacts FactsFor(const authn::Requirement& requirement) const;
  // The very policy was demanded when the request was admitted.
  bool DemandedBefore(const identity::Policy& policy) const;
  // Something that was pending is known.
  void Redecide();

  // upstream::ResponseHandler
  void Expect() override { connection_->codec().Expect(stream_); }
  void OnHead(http::ResponseHead&& response) override;
  void OnEarlyHints(http::FieldList&& fields) override;
  void OnBody(absl::string_view bytes) override;
  void OnTrailers(http::FieldList&& trailers) override;
  void OnComplete() override;
  void OnError(upstream::ErrorKind kind, absl::string_view detail) override;
  void OnWritable() override;
  void OnHalfClosed() override;

  // BasicChecks::Request

  const http::RequestHead& head() const override { return *head_; }
  const config::Route& route() const override { return *route_; }
  absl::string_view RequestId() override;
  void OnChecked() override { Redecide(); }
  std::string client_host() const override { return origin_ != nullptr ? origin_->host : connection_->host(); }
  const std::string& client_key() const override { return origin_ != nullptr ? origin_->key : connection_->address_key(); }
  const events::PeerAddress& client() const { return origin_ != nullptr ? origin_->client : connection_->address(); }

  // Limits::request_timeout, or the time that the route or the client gives.
  void OnDeadline(loop::Deadline* deadline) override;
  void OnRouteTimeout();

  // Whether the listener's `verify_with` lets this connection carry requests. False: refused, or pending.
  bool PassesListener();
  // Who the client is behind a proxy that the listener trusts. False: refused, the proxies do not agree.
  bool FindOrigin();
  // Finds the route. False: answered, there is none.
  bool FindRoute();
  void Decide();
  void Act(authn::Decision&& decision);
  void SendFixed();
  // A whole answer.
  void SendAnswer(const http::ResponseHead& response, absl::string_view body);
  // An answer of ours, whole, with what the route changes of its fields.
  void SendOwn(http::ResponseHead&& response, absl::string_view body);
  void Forward(const config::Route& route);
  // The upstream's answer to a request for WebSocket. True: it is a switch, or was refused here; false: an ordinary answer.
  bool OnSwitch(http::ResponseHead&& response);
  void Refuse(int status, Reason reason, const authn::Decision* decision = nullptr, absl::string_view allow = {},
              absl::string_view detail = {});
  void RefuseProxied(int status, Reason reason, absl::string_view detail, absl::Duration retry_after = absl::ZeroDuration());
  void Done();
  BasicChecks& basic();
  void CancelBasic();
  // A line will be written about it.
  bool AccessIsLogged() const;
  // The story is over: nothing more is called, and the access log gets its line.
  void End();
  // The request's body is larger than the route lets pass.
  void RefuseBody();
  // The one event. `detail` is evidence for people.
  void Record(bool allowed, int status, Reason reason, absl::string_view detail = {});
  // What its event has in common with those of other requests.
  std::shared_ptr<const events::Facts> FactsOfEvent(absl::string_view detail) const;
  void ResumeUpstream();

  Connection* const connection_;
  const http::StreamId stream_;
  const loop::Instant begun_;
  State state_ = State::kDeciding;
  bool recorded_ = false;
  bool head_sent_ = false;
  bool request_ended_ = false;   // the whole request body went to the upstream
  bool reading_paused_ = false;  // of the upstream's response
  bool response_ended_ = false;  // the upstream's response is complete, its last bytes wait for the client
  bool event_reserved_ = false;  // a place in the ring, for the one event
  bool allowed_ = false;         // as the event says
  uint16_t status_ = 0;
  Reason reason_ = Reason::kNone;
  uint64_t body_in_ = 0;   // octets of bodies
  uint64_t body_out_ = 0;
  const config::Snapshot* const snapshot_;
  config::SnapshotPin pin_;  // of snapshot_, once the exchange goes on behind Start
  const config::Listener* listener_ = nullptr;  // of snapshot_
  const config::Route* route_ = nullptr;        // null until the listener is passed
  const http::RequestHead* head_ = nullptr;  // the codec's until taken
  http::RequestHead taken_;
  std::unique_ptr<ClientOrigin> origin_;  // null: the peer is the client
  identity::IdentityRef identity_;  // once allowed
  uint32_t failed_scheme_ = authn::Decision::kNoScheme;

  // Certificates: one a scheme whose verdict waits for answers.
  std::vector<std::pair<uint32_t, std::unique_ptr<RevocationWait>>> waits_;
  std::unique_ptr<BasicChecks> basic_;  // null: no scheme of kind Basic was asked
  std::unique_ptr<loop::Deadline> deadline_;  // null: the listener limits no request's time

  // Proxying.
  std::unique_ptr<loop::Deadline> route_deadline_;  // null: neither route nor client limit its time with the upstream
  bool timed_out_ = false;
  std::unique_ptr<upstream::Request> request_;
  loop::Instant forwarded_at_;
  absl::Duration upstream_time_ = absl::ZeroDuration();  // to the answer's head
  std::string trace_id_;       // of what the upstream was told, for the access log
  std::string held_body_;      // request body that came before the decision; bounded by the codec's window
  bool held_end_ = false;
  std::unique_ptr<http::FieldList> client_trailers_;  // those that may pass; null: none
  size_t unconsumed_ = 0;      // request body given to the upstream above its mark, not yet returned to the client's window
  std::string held_response_;  // response body that the client's stream did not take
  std::unique_ptr<http::FieldList> held_trailers_;  // of the answer, until its body is gone; null: none
  WebSocketHandshake websocket_;
  bool half_closed_ = false;  // WebSocket: the upstream has ended its side
  char request_id_[33];
  bool has_id_ = false;
};

}  // namespace gatehouse::server
