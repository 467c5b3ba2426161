#include "gateway/server/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "gateway/server/exchange.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {
namespace {

// What may wait for a slow client before its codec is asked for more.
constexpr size_t kMaxOutput = 256 * 1024;
constexpr size_t kMostGathered = 16 * 1024;  // waits for the end of the turn
constexpr absl::Duration kLinger = absl::Seconds(2);

Reason ReasonOf(const tls::TlsError& error) {
  switch (error.kind) {
    case tls::TlsError::Kind::kNoCertificate: return Reason::kNoCertificate;
    case tls::TlsError::Kind::kTooMany: return Reason::kLimitExceeded;
    case tls::TlsError::Kind::kNotProven: return Reason::kPossessionNotProven;
    default: return Reason::kHandshakeFailed;
  }
}

}  // namespace

Connection::Connection(Worker* worker, std::shared_ptr<const EdgeInForce> listener, loop::Fd fd, const loop::Address& address,
                       uint64_t id)
    : worker_(worker),
      listener_(std::move(listener)),
      born_(listener_->edge),
      fd_(std::move(fd)),
      remote_(address),
      address_(events::PeerAddress::FromSockaddr(address.addr(), address.length())),
      id_(id),
      tls_(tls::TlsSession::OverSocket(born_->tls, &worker->hooks(), fd_.get(), &worker->cork())),
      deadline_(&worker->loop().deadlines(), this) {
  tls_->set_owner(this);
  worker_->metrics().connections_accepted.Add();
  worker_->metrics().connections_open.Add();
  ++*born_->open;
}

Connection::~Connection() {
  worker_->loop().Unmark(this);
  worker_->metrics().connections_open.Add(-1);
  --*born_->open;
}

void Connection::Start() {
  watch_ = std::make_unique<loop::Watch>(&worker_->loop(), fd_.get(),
                                         [this](bool readable, bool writable) { OnReady(readable, writable); });
  watch_->Set(true, false);
  deadline_.Set(worker_->loop().now() + born_->codec.limits.handshake_timeout);
  if (born_->IntroducedBy(remote_)) {
    proxy_ = std::make_unique<loop::ProxyReader>();
  } else if (!Counted()) {
    return;
  }
  Handshake();
}

bool Connection::Introduced() {
  switch (proxy_->Read(fd_.get())) {
    case loop::ProxyReader::State::kMore:
      return false;
    case loop::ProxyReader::State::kGone:
      Close();
      return false;
    case loop::ProxyReader::State::kBad:
      worker_->metrics().CountHandshakeFailure(Reason::kHandshakeFailed);
      worker_->RecordHandshakeFailure(*this, Reason::kHandshakeFailed, proxy_->error());
      Close();
      return false;
    case loop::ProxyReader::State::kDone:
      break;
  }
  if (proxy_->client().has_value()) {
    remote_ = *proxy_->client();
    address_ = events::PeerAddress::FromSockaddr(remote_.addr(), remote_.length());
  }
  proxy_.reset();
  return Counted();
}

bool Connection::Counted() {
  counted_ = worker_->Count(*born_, credentials::AddressKey(remote_.host()));
  if (!counted_.granted()) Close();
  return counted_.granted();
}

loop::Instant Connection::request_since() const {
  return armed_ == http::ServerCodec::Phase::kHead && codec_->version() == 11 ? head_since_ : worker_->loop().now();
}

void Connection::OnReady(bool readable, bool writable) {
  switch (state_) {
    case State::kClosed: return;
    case State::kHandshaking: return Handshake();
    case State::kLingering: return Linger();
    case State::kServing:
    case State::kDraining: break;
  }
  if (writable) {
    // The client took something: the write timeout starts anew if it is needed, and does not run on if not.
    if (std::exchange(output_armed_, false)) deadline_.Clear();
    worker_->loop().MarkDirty(this);
  }
  if (readable) ReadAll();
}

void Connection::Handshake() {
  if (proxy_ != nullptr && !Introduced()) return;
  tls::IoStatus status = tls_->Handshake();
  if (status == tls::IoStatus::kOk) return Established();
  if (status == tls::IoStatus::kFailed || status == tls::IoStatus::kClosed) return HandshakeFailed();
  tls::IoStatus sent = tls_->Flush();
  if (sent == tls::IoStatus::kFailed) return HandshakeFailed();
  watch_->Set(true, sent == tls::IoStatus::kWantWrite);
}

void Connection::HandshakeFailed() {
  const tls::TlsError& error = tls_->error();
  // A peer that goes before it said anything is a port scan or a health check, and no failed handshake.
  if (tls_->name() != nullptr || error.kind != tls::TlsError::Kind::kEof) {
    NotePresented();
    Reason reason = worker_->TakeHandshakeReason(this).value_or(ReasonOf(error));
    worker_->metrics().CountHandshakeFailure(reason);
    worker_->RecordHandshakeFailure(*this, reason, error.text);
  }
  tls_->Flush();
  Close();
}

void Connection::NotePresented() {
  std::vector<X509*> chain = tls_->PresentedChain();
  if (peer_ == nullptr && !chain.empty()) peer_ = worker_->judge().Recognise(chain, /*remember=*/false);
}

void Connection::Established() {
  state_ = State::kServing;
  worker_->clock().Renew();  // many handshakes make a turn long, and what they presented is judged now
  resumed_ = tls_->resumed();
  asked_ = tls_->name()->client_certificate != tls::ClientCertificate::kNone;
  (resumed_ ? worker_->metrics().handshakes_resumed : worker_->metrics().handshakes_full).Add();
  if (resumed_) {
    peer_ = std::static_pointer_cast<const Peer>(tls_->attached().user);
  } else if (std::vector<X509*> chain = tls_->PresentedChain(); !chain.empty()) {
    peer_ = worker_->judge().Recognise(chain);
  }
  codec_ = tls_->alpn_h2() ? http::NewHttp2Codec(this, &worker_->codec_shared(), &born_->codec)
                           : http::NewHttp1Codec(this, &worker_->codec_shared(), &born_->codec);
  armed_ = http::ServerCodec::Phase::kActive;
  deadline_.Clear();  // the handshake's: a request may be here already, and kActive sets none
  // What it was asked in the handshake may not be what is asked since a change that came meanwhile.
  if (!worker_->Welcome(this)) {
    worker_->RecordCut(1, 0, born_->snapshot->revision);
    Drain(false);
    Drain(true);
    if (state_ != State::kDraining) return;
  }
  if (worker_->draining()) Drain(false);
  worker_->NoteFresh(this);
  ReadAll();
}

void Connection::Slim() {
  if (state_ == State::kServing && !std::exchange(slim_, true)) tls_->DropCertificates();
}

void Connection::Rest() {
  if (state_ != State::kServing) return;
  Slim();
  if (std::exchange(busy_, false)) return;
  facts_.reset();
  decision_facts_.reset();
  if (!rested_ && codec_ != nullptr && codec_->idle() && tls_->pending_output() == 0) {
    rested_ = true;
    codec_->Rest();
  }
}

void Connection::ReadAll() {
  busy_ = true;
  rested_ = false;
  absl::Span<char> buffer = worker_->read_buffer();
  codec_->Expect();
  // Bounded, so that one busy client does not hold up the others; Flush comes back for what is left.
  for (int i = 0; i < 32 && codec_->WantsRead() && !eof_; ++i) {
    size_t n = 0;
    switch (tls_->Read(buffer, &n)) {
      case tls::IoStatus::kOk:
        Digest(absl::string_view(buffer.data(), n));
        break;
      case tls::IoStatus::kWantRead:
      case tls::IoStatus::kWantWrite:
        i = 32;
        break;
      case tls::IoStatus::kClosed:
        eof_ = true;
        if (codec_->ReceiveEof() == http::ServerCodec::Result::kClose) return Close();
        break;
      case tls::IoStatus::kFailed:
        if (tls_->error().kind == tls::TlsError::Kind::kFlood) worker_->RecordHandshakeFailure(*this, Reason::kLimitExceeded, tls_->error().text);
        return Close();
    }
    if (state_ != State::kServing && state_ != State::kDraining) return;
    if (!tls_->HasPending() && n < buffer.size()) break;
  }
  // While the streams that are answered already are still in the processor's cache; it is sent at the end of the turn.
  if (codec_->version() == 20) {
    if (!Encode()) return;
    // Much does not wait: the outputs of many connections would lie in memory together.
    if (tls_->pending_output() > kMostGathered && tls_->Flush() == tls::IoStatus::kFailed) return Close();
  }
  worker_->loop().MarkDirty(this);
}

void Connection::Digest(absl::string_view bytes) {
  in_codec_ = true;
  http::ServerCodec::Result result = codec_->Receive(bytes, worker_->loop().now());
  in_codec_ = false;
  if (result == http::ServerCodec::Result::kClose) eof_ = true;
}

bool Connection::Encode() {
  for (;;) {
    while (codec_->HasReadyInput()) Digest({});
    if (!codec_->WantsWrite() || tls_->pending_output() > kMaxOutput) return true;
    http::OutBuffer& out = worker_->out();
    out.Clear();
    codec_->Produce(&out);
    if (out.empty()) return true;
    if (tls_->Write(out.view()) == tls::IoStatus::kOk) continue;
    Close();
    return false;
  }
}

void Connection::Flush() {
  if (state_ != State::kServing && state_ != State::kDraining) {
    if (state_ == State::kLingering) Linger();
    return;
  }
  if (!Encode()) return;
  if (codec_->done() && !codec_->WantsWrite()) return Finish();
  if (codec_->half_done() && !half_done_) tls_->Shutdown();
  tls::IoStatus sent = tls_->Flush();
  if (sent == tls::IoStatus::kFailed) return Close();
  if (sent == tls::IoStatus::kOk && codec_->half_done() && !std::exchange(half_done_, true)) ::shutdown(fd_.get(), SHUT_WR);
  bool wants_read = codec_->WantsRead() && !eof_;
  watch_->Set(wants_read, sent == tls::IoStatus::kWantWrite);
  ArmDeadline();
  if (sent == tls::IoStatus::kOk && codec_->WantsWrite()) worker_->loop().MarkDirty(this);
  // Read-ahead may hold what no readiness will announce. Last: it may close.
  if (wants_read && tls_->HasPending()) ReadAll();
}

void Connection::ArmDeadline() {
  using Phase = http::ServerCodec::Phase;
  loop::Instant now = worker_->loop().now();
  if (watch_->writing()) {
    if (!output_armed_) deadline_.Set(now + born_->codec.limits.write_timeout);
    output_armed_ = true;
    armed_ = Phase::kActive;
    return;
  }
  Phase phase = codec_->phase();
  // What is awaited are octets of a body: a PING is none.
  const bool moved = std::exchange(progress_, codec_->progress()) != codec_->progress();
  if (phase == armed_ && phase != Phase::kIdle && !moved && !output_armed_) return;
  output_armed_ = false;
  armed_ = phase;
  switch (phase) {
    case Phase::kIdle:
    case Phase::kStalled: return deadline_.Set(now + born_->codec.limits.idle_timeout);
    case Phase::kHead:
      head_since_ = now;
      return deadline_.Set(now + born_->codec.limits.header_timeout);
    case Phase::kBody: return deadline_.Set(now + born_->codec.limits.body_timeout);
    case Phase::kActive: return deadline_.Clear();
  }
}

void Connection::OnDeadline(loop::Deadline*) {
  if (state_ == State::kHandshaking) {
    worker_->metrics().CountHandshakeFailure(Reason::kLimitExceeded);
    if (tls_->name() != nullptr) {
      NotePresented();
      worker_->RecordHandshakeFailure(*this, Reason::kLimitExceeded, "handshake timed out");
    }
    return Close();
  }
  // What has come goes before: its timer may be late, or the loop was busy, or stopped, with both.
  if ((state_ == State::kServing || state_ == State::kDraining) && armed_ == http::ServerCodec::Phase::kIdle && !output_armed_ &&
      (!codec_->idle() || (codec_->WantsRead() && !eof_ && Readable()))) {
    return ReadAll();
  }
  if ((state_ == State::kServing || state_ == State::kDraining) && !output_armed_ && codec_->TimeOut()) {
    armed_ = http::ServerCodec::Phase::kActive;  // for nothing, until Flush arms it anew
    return worker_->loop().MarkDirty(this);
  }
  if ((state_ == State::kServing || state_ == State::kDraining) && codec_->idle() && !output_armed_) {
    // An idle client is told that we go.
    codec_->ShutdownNotice();
    codec_->GoAway();
    if (codec_->WantsWrite()) {
      worker_->out().Clear();
      codec_->Produce(&worker_->out());
      tls_->Write(worker_->out().view());
    }
    return Finish();
  }
  Close();
}

bool Connection::Readable() const {
  pollfd state{fd_.get(), POLLIN, 0};
  return poll(&state, 1, 0) > 0;
}

void Connection::Finish() {
  // Where the end of the connection is the answer's, close_notify would make half of it look whole.
  if (codec_ == nullptr || !codec_->broken_off()) tls_->Shutdown();
  tls::IoStatus sent = tls_->Flush();
  refused_ = refused_ || unread_body_;
  if (sent == tls::IoStatus::kFailed || (sent == tls::IoStatus::kOk && !refused_)) return Close();
  state_ = State::kLingering;
  EndExchanges();
  // A slow client gets what waits for him, as long as he takes some of it.
  deadline_.Set(worker_->loop().now() + (sent == tls::IoStatus::kOk ? kLinger : born_->codec.limits.write_timeout));
  if (sent == tls::IoStatus::kOk) ::shutdown(fd_.get(), SHUT_WR);
  watch_->Set(true, sent == tls::IoStatus::kWantWrite);
}

void Connection::Linger() {
  if (watch_->writing()) {
    const size_t before = tls_->pending_output();
    tls::IoStatus sent = tls_->Flush();
    if (sent == tls::IoStatus::kFailed) return Close();
    if (sent == tls::IoStatus::kOk) {
      if (!refused_) return Close();
      ::shutdown(fd_.get(), SHUT_WR);
      watch_->Set(true, false);
      deadline_.Set(worker_->loop().now() + kLinger);
    } else if (tls_->pending_output() < before) {
      deadline_.Set(worker_->loop().now() + born_->codec.limits.write_timeout);
    }
  }
  absl::Span<char> buffer = worker_->read_buffer();
  for (int i = 0; i < 8; ++i) {
    ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return Close();
    if (n < 0) return;
  }
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  deadline_.Clear();
  // Not destroyed: this may run inside its callback.
  if (watch_ != nullptr) watch_->Set(false, false);
  worker_->loop().Unmark(this);
  EndExchanges();
  worker_->Retire(this);
}

// Exchanges tell their story and let go of their upstreams before the codec goes.
void Connection::EndExchanges() {
  for (auto& [id, exchange] : exchanges_) {
    exchange->OnClientReset();
    worker_->metrics().streams_open.Add(-1);
    worker_->loop().DeferDelete(std::move(exchange));
  }
  exchanges_.clear();
}

void Connection::Drain(bool final_phase) {
  if (state_ == State::kServing) state_ = State::kDraining;
  if (state_ != State::kDraining) {
    if (state_ == State::kHandshaking && final_phase) Close();
    return;
  }
  if (final_phase) {
    codec_->GoAway();
    if (codec_->version() == 11 && codec_->idle() && codec_->phase() == http::ServerCodec::Phase::kIdle) return Finish();
  } else {
    codec_->ShutdownNotice();
  }
  worker_->loop().MarkDirty(this);
}

bool Connection::NeedsSweep(bool streams_only) const {
  if (state_ != State::kServing && state_ != State::kDraining) return false;
  if (streams_only) return !exchanges_.empty() || spared_ || !waits_.empty();
  return listener_->gone || judged_news_ != worker_->judge().news() || judged_ != listener_->edge->listener->NameFor(server_name()).trust_epoch;
}

Connection::Standing Connection::StandingWith(const config::Scheme& scheme, JudgementRef* out) {
  if (peer_ == nullptr) return Standing::kRefused;
  JudgementRef judgement = worker_->judge().Of(*peer_, scheme, &verdicts_);
  auto wait = std::find_if(waits_.begin(), waits_.end(), [&](const auto& w) { return w.first == scheme.epoch; });
  if (judgement->outcome == certs::Outcome::kIndeterminate) {
    if (wait == waits_.end()) {
      // The next sweep, within a second, is soon enough to look again.
      wait = waits_.insert(wait, {scheme.epoch, std::make_unique<RevocationWait>(&worker_->loop(), worker_->desk(), [] {})});
    }
    if (wait->second->Continue(*judgement, *scheme.certificate())) return Standing::kWaiting;
    judgement = worker_->judge().WithoutAsking(*peer_, scheme);
  }
  if (wait != waits_.end()) waits_.erase(wait);
  const bool accepted = judgement->outcome == certs::Outcome::kValid;
  if (out != nullptr) *out = std::move(judgement);
  return accepted ? Standing::kAccepted : Standing::kRefused;
}

bool Connection::PassesListener() {
  const uint32_t gate = edge().listener->verify_with;
  return gate == config::kNoScheme || peer_ == nullptr ||
         StandingWith(edge().snapshot->scheme(gate)) != Standing::kRefused;
}

Connection::Swept Connection::Sweep() {
  Swept swept;
  if (state_ != State::kServing && state_ != State::kDraining) return swept;
  std::vector<std::pair<Exchange*, Withdrawal>> gone;
  for (auto& [id, exchange] : exchanges_) {
    if (!exchange->running()) continue;
    if (std::optional<Withdrawal> withdrawal = exchange->Readmit(*worker_->snapshot())) {
      gone.emplace_back(exchange.get(), *std::move(withdrawal));
    }
  }
  for (auto& [exchange, withdrawal] : gone) {
    exchange->Cut(withdrawal);
    if (withdrawal.reason == Reason::kPolicyNotMet) {
      ++swept.ended;
      swept.detail = std::move(withdrawal.detail);
    } else {
      ++swept.withdrawn;
    }
  }
  if (!worker_->Welcome(this) && state_ == State::kServing) {
    swept.closing = true;
    Drain(false);
    Drain(true);
  }
  return swept;
}

Exchange* Connection::Find(http::StreamId id) {
  auto it = exchanges_.find(id);
  return it == exchanges_.end() ? nullptr : it->second.get();
}

std::unique_ptr<Exchange> Connection::Take(http::StreamId id) {
  auto it = exchanges_.find(id);
  if (it == exchanges_.end()) return nullptr;
  std::unique_ptr<Exchange> exchange = std::move(it->second);
  exchanges_.erase(it);
  return exchange;
}

void Connection::OnRequest(http::StreamId id, http::RequestHead&& head) {
  unread_body_ = head.has_body && head.version < 20;
  auto exchange = std::make_unique<Exchange>(this, id, worker_->loop().now());
  if (!exchange->Start(std::move(head))) {
    worker_->metrics().streams_open.Add();
    exchanges_.emplace(id, std::move(exchange));
  }
}

void Connection::OnBody(http::StreamId id, absl::string_view data, bool end) {
  if (end) unread_body_ = false;
  if (Exchange* exchange = Find(id)) return exchange->OnBody(data, end);
  codec_->ConsumeBody(id, data.size());  // already answered: the rest is thrown away
}

void Connection::OnTrailers(http::StreamId id, http::FieldList&& trailers) {
  unread_body_ = false;
  if (Exchange* exchange = Find(id)) exchange->OnClientTrailers(std::move(trailers));
}

void Connection::OnReset(http::StreamId id, uint32_t) {
  if (Exchange* exchange = Find(id)) exchange->OnClientReset();
}

void Connection::OnStreamClosed(http::StreamId id) {
  if (exchanges_.empty()) return;
  if (Exchange* exchange = Find(id)) {
    exchange->OnClientReset();
    Finished(id);
  }
}

void Connection::OnBodyWritable(http::StreamId id) {
  if (Exchange* exchange = Find(id)) exchange->OnClientWritable();
}

http::Answer Connection::OnProtocolError(const http::ProtocolError& error) {
  // An answer is worth waiting for the client to read it; a flood's GOAWAY is not.
  refused_ = refused_ || (error.connection && error.status != 0);
  Exchange* exchange = Find(error.stream);
  return exchange != nullptr && !exchange->recorded() ? exchange->OnProtocolError(error)
                                                      : worker_->RefuseProtocolError(*this, error);
}

void Connection::Finished(http::StreamId id) {
  if (std::unique_ptr<Exchange> exchange = Take(id)) {
    worker_->metrics().streams_open.Add(-1);
    worker_->loop().DeferDelete(std::move(exchange));
  }
}

void Connection::Wake() {
  if (state_ == State::kServing || state_ == State::kDraining) worker_->loop().MarkDirty(this);
}

BasicMemory& Connection::basic() {
  if (basic_ == nullptr) basic_ = std::make_unique<BasicMemory>();
  return *basic_;
}

DecisionFacts& Connection::decision_facts() {
  if (decision_facts_ == nullptr) decision_facts_ = std::make_unique<DecisionFacts>();
  return *decision_facts_;
}

std::shared_ptr<const events::PeerFacts> Connection::facts() const {
  if (facts_ != nullptr) return facts_;
  auto facts = std::make_shared<events::PeerFacts>();
  facts->connection_id = id_;
  facts->address = address_;
  facts->resumed = resumed_;
  facts->listener = events::SharedText(born_, &born_->listener->name);  // its name never changes
  facts->server_name = tls_->shared_sni();
  if (peer_ != nullptr) {
    facts->certificate = peer_->summary;
    facts->possession = state_ == State::kHandshaking ? events::Possession::kUnproven : events::Possession::kProven;
  }
  if (state_ != State::kHandshaking) facts_ = facts;
  return facts;
}

}  // namespace gatehouse::server
