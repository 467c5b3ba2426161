#include "gateway/server/redirect_connection.h"

#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/credentials/throttle.h"
#include "gateway/http/codec_factory.h"
#include "gateway/server/answers.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {
namespace {

constexpr absl::Duration kLinger = absl::Seconds(2);
constexpr size_t kMaxOutput = 64 * 1024;  // that wait for a client before more is read of it

}  // namespace

std::string RedirectTarget(const http::RequestHead& head, uint16_t port) {
  std::string target = absl::StrCat("https://", head.host());
  if (port != 443) absl::StrAppend(&target, ":", port);
  absl::StrAppend(&target, head.path() == "*" ? absl::string_view("/") : head.path());
  if (head.has_query) absl::StrAppend(&target, "?", head.query());
  return target;
}

RedirectConnection::RedirectConnection(Worker* worker, std::shared_ptr<const EdgeInForce> listener, loop::Fd fd,
                                       const loop::Address& address)
    : worker_(worker),
      listener_(std::move(listener)),
      born_(listener_->edge),
      fd_(std::move(fd)),
      remote_(address),
      codec_(http::NewHttp1Codec(this, &worker->codec_shared(), &born_->codec)),
      deadline_(&worker->loop().deadlines(), this) {
  worker_->metrics().connections_accepted.Add();
  worker_->metrics().connections_open.Add();
  ++*born_->open;
}

RedirectConnection::~RedirectConnection() {
  worker_->metrics().connections_open.Add(-1);
  --*born_->open;
}

void RedirectConnection::Start(List::iterator place) {
  place_ = place;
  watch_ = std::make_unique<loop::Watch>(&worker_->loop(), fd_.get(),
                                         [this](bool readable, bool writable) { OnReady(readable, writable); });
  watch_->Set(true, false);
  if (born_->IntroducedBy(remote_)) {
    state_ = State::kIntroduced;
    proxy_ = std::make_unique<loop::ProxyReader>();
    deadline_.Set(worker_->loop().now() + born_->codec.limits.handshake_timeout);
  } else if (!Introduce()) {
    return;
  }
  OnReady(true, false);
}

bool RedirectConnection::Introduce() {
  counted_ = worker_->Count(*born_, credentials::AddressKey(remote_.host()));
  if (!counted_.granted()) {
    Close();
    return false;
  }
  state_ = State::kServing;
  // The first request is awaited like the rest of a head.
  deadline_.Set(worker_->loop().now() + born_->codec.limits.header_timeout);
  return true;
}

void RedirectConnection::OnReady(bool readable, bool writable) {
  if (state_ == State::kIntroduced) {
    switch (proxy_->Read(fd_.get())) {
      case loop::ProxyReader::State::kMore: return;
      case loop::ProxyReader::State::kBad:
      case loop::ProxyReader::State::kGone: return Close();
      case loop::ProxyReader::State::kDone: break;
    }
    if (proxy_->client().has_value()) remote_ = *proxy_->client();
    proxy_.reset();
    if (!Introduce()) return;
    readable = true;
  }
  if (state_ == State::kLingering) return Linger();
  if (state_ != State::kServing) return;
  if (readable) Read();
  if (state_ == State::kServing && (readable || writable)) Pump();
}

void RedirectConnection::Read() {
  absl::Span<char> buffer = worker_->read_buffer();
  // Bounded, so that one busy client does not hold up the others.
  for (int i = 0; i < 8 && codec_->WantsRead() && !eof_ && out_.size() < kMaxOutput; ++i) {
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) return Close();
    if (n == 0) {
      eof_ = true;
      codec_->ReceiveEof();
      return;
    }
    if (codec_->Receive(absl::string_view(buffer.data(), static_cast<size_t>(n)), worker_->loop().now()) ==
        http::ServerCodec::Result::kClose) {
      eof_ = true;
    }
  }
}

void RedirectConnection::Pump() {
  for (;;) {
    while (codec_->HasReadyInput() && out_.size() < kMaxOutput) codec_->Receive({}, worker_->loop().now());
    if (codec_->WantsWrite() && out_.size() < kMaxOutput) {
      http::OutBuffer& out = worker_->out();
      out.Clear();
      codec_->Produce(&out);
      out_.append(out.view().data(), out.view().size());
    }
    if (out_.empty()) break;
    const ssize_t n = ::send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return Close();
    if (n < 0) break;
    out_.erase(0, static_cast<size_t>(n));
  }
  const loop::Instant now = worker_->loop().now();
  const http::Limits& limits = born_->codec.limits;
  if (out_.empty() && codec_->done()) {
    ::shutdown(fd_.get(), SHUT_WR);
    state_ = State::kLingering;
    watch_->Set(true, false);
    return deadline_.Set(now + kLinger);
  }
  if (out_.empty() && eof_ && codec_->idle()) return Close();
  const bool writing = !out_.empty();
  if (writing && !watch_->writing()) deadline_.Set(now + limits.write_timeout);
  watch_->Set(codec_->WantsRead() && !eof_ && !writing, writing);
  if (writing) {
    armed_ = http::ServerCodec::Phase::kActive;
    return;
  }
  const http::ServerCodec::Phase phase = codec_->phase();
  if (phase == armed_ && phase == http::ServerCodec::Phase::kHead) return;  // from its first octet
  armed_ = phase;
  deadline_.Set(now + (phase == http::ServerCodec::Phase::kIdle   ? limits.idle_timeout
                       : phase == http::ServerCodec::Phase::kHead ? limits.header_timeout
                                                                  : limits.body_timeout));
}

void RedirectConnection::Linger() {
  absl::Span<char> buffer = worker_->read_buffer();
  for (int i = 0; i < 8; ++i) {
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return Close();
    if (n < 0) return;
  }
}

void RedirectConnection::OnRequest(http::StreamId id, http::RequestHead&& head) {
  const config::RedirectOnly& redirect = *born_->listener->redirect_only;
  http::ResponseHead response;
  response.status = redirect.status;
  response.fields.Add("location", RedirectTarget(head, redirect.port));
  response.content_length = 0;
  codec_->SendHead(id, response, true);
  worker_->metrics().redirects.Add();
}

http::Answer RedirectConnection::OnProtocolError(const http::ProtocolError& error) {
  worker_->metrics().CountRequest(metrics::LabelTable::kOther,
                                  error.malformed ? Reason::kMalformedRequest : Reason::kLimitExceeded, error.status,
                                  absl::ZeroDuration());
  char id[Worker::kRequestIdSize];
  worker_->NextRequestId(id);
  return ProblemAnswer(error, absl::string_view(id, Worker::kRequestIdSize));
}

void RedirectConnection::OnDeadline(loop::Deadline*) {
  if (state_ != State::kServing || !out_.empty()) return Close();
  codec_->TimeOut();  // 408, where a request had begun
  codec_->GoAway();
  Pump();
  if (state_ == State::kServing) Close();
}

void RedirectConnection::Drain(bool final_phase) {
  if (state_ != State::kServing) return Close();
  codec_->ShutdownNotice();
  if (final_phase) codec_->GoAway();
  Pump();
}

void RedirectConnection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  deadline_.Clear();
  if (watch_ != nullptr) watch_->Set(false, false);  // not destroyed: this may run inside its callback
  worker_->Retire(place_);
}

}  // namespace gatehouse::server
