// RedirectConnection is one client of a redirect-only listener: plain HTTP/1.1, and every request is sent to HTTPS at the host
// that it asked for. Nothing is authenticated, looked up or passed on.
//
//   kIntroduced --PROXY header--> kServing --last answer, drain--> kLingering --> kClosed      any --error, timeout--> kClosed
//
// kIntroduced  a load balancer's PROXY header is awaited (where the listener demands one)
// kLingering   our side is shut down; what the client still sends is thrown away for a moment, so that it sees our answer
//
// Ownership:  owned by the worker's list; owns socket and codec. Keeps its listener's edge alive.
// Threading:  the worker's loop only.
// Errors:     what the client does wrong is answered by the codec; there is no event, since nobody was decided about.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "gateway/http/codec.h"
#include "gateway/loop/deadline.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/loop.h"
#include "gateway/loop/proxy_reader.h"
#include "gateway/server/address_counts.h"
#include "gateway/server/edge.h"

namespace gatehouse::server {

class Worker;

class RedirectConnection final : private loop::DeadlineHandler, private http::CodecHandler {
 public:
  using List = std::list<std::unique_ptr<RedirectConnection>>;

  RedirectConnection(Worker* worker, std::shared_ptr<const EdgeInForce> listener, loop::Fd fd, const loop::Address& address);
  ~RedirectConnection();

  // `place` is where the worker keeps this.
  void Start(List::iterator place);
  void Drain(bool final_phase);
  void Close();
  // Its listener is gone, or speaks TLS now.
  bool misplaced() const { return listener_->gone || !listener_->edge->listener->redirect_only.has_value(); }

 private:
  enum class State : uint8_t { kIntroduced, kServing, kLingering, kClosed };

  void OnRequest(http::StreamId id, http::RequestHead&& head) override;
  void OnBody(http::StreamId id, absl::string_view data, bool) override { codec_->ConsumeBody(id, data.size()); }
  void OnTrailers(http::StreamId, http::FieldList&&) override {}
  void OnReset(http::StreamId, uint32_t) override {}
  void OnStreamClosed(http::StreamId) override {}
  void OnBodyWritable(http::StreamId) override {}
  http::Answer OnProtocolError(const http::ProtocolError& error) override;
  void OnDeadline(loop::Deadline*) override;

  void OnReady(bool readable, bool writable);
  // Who the client is: counted against its limit. False: closed.
  bool Introduce();
  void Read();
  // Sends what there is, and arms what is awaited next.
  void Pump();
  void Linger();

  Worker* const worker_;
  const std::shared_ptr<const EdgeInForce> listener_;
  const std::shared_ptr<Edge> born_;
  loop::Fd fd_;
  loop::Address remote_;
  State state_ = State::kServing;
  bool eof_ = false;
  http::ServerCodec::Phase armed_ = http::ServerCodec::Phase::kActive;
  std::unique_ptr<loop::ProxyReader> proxy_;
  AddressCounts::Place counted_;
  std::unique_ptr<http::ServerCodec> codec_;
  std::unique_ptr<loop::Watch> watch_;
  loop::Deadline deadline_;
  std::string out_;
  List::iterator place_;
};

// Where a request on a redirect-only listener is sent: `https://HOST[:PORT]/path?query`. The head has passed the perimeter, so
// that its host is a plain name or an IPv6 address in brackets, and path and query hold no control character.
std::string RedirectTarget(const http::RequestHead& head, uint16_t port);

}  // namespace gatehouse::server
