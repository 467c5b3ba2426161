#include "gateway/upstream/link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gatehouse::upstream {
namespace {

constexpr size_t kTlsPiece = 64 * 1024;  // is encrypted at once, and waits as such

std::string ErrnoText(int error) { return strerrordesc_np(error); }

// A machine that is gone is found within a minute, though nothing is to be sent.
bool SetOptions(int fd) {
  const auto set = [fd](int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof(value)) == 0; };
  return set(IPPROTO_TCP, TCP_NODELAY, 1) && set(SOL_SOCKET, SO_KEEPALIVE, 1) && set(IPPROTO_TCP, TCP_KEEPIDLE, 30) &&
         set(IPPROTO_TCP, TCP_KEEPINTVL, 10) && set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

void Link::Connect(const loop::Address& address, std::shared_ptr<const tls::ClientContext> tls, const std::string& host) {
  context_ = std::move(tls);
  if (context_ != nullptr) {
    host_ = host;
    peer_ = address.ToString();
  }
  fd_ = loop::Fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_.valid() || !SetOptions(fd_.get()) ||
      (connect(fd_.get(), address.addr(), address.length()) != 0 && errno != EINPROGRESS)) {
    error_ = ErrnoText(errno);
    loop_->MarkDirty(this);
    return;
  }
  watch_.emplace(loop_, fd_.get(), [this](bool readable, bool writable) { OnReady(readable, writable); });
  watch_->Set(false, true);
}

void Link::Flush() { Down(error_); }

void Link::Down(absl::string_view why) {
  if (watch_.has_value()) watch_->Set(false, false);
  handler_->OnLinkDown(why);
}

void Link::Close() {
  if (tls_ != nullptr && up_) {
    tls_->Shutdown();
    tls_->Flush();  // as far as the socket takes it
  }
  up_ = false;
  if (watch_.has_value()) watch_->Set(false, false);
  loop_->Unmark(this);
  fd_.Close();
}

void Link::EndWriting() {
  if (tls_ == nullptr) {
    shutdown(fd_.get(), SHUT_WR);
    return;
  }
  tls_->Shutdown();
  tls_->Flush();
}

void Link::OnReady(bool readable, bool writable) {
  if (up_) return handler_->OnLinkReady(readable, writable);
  if (tls_ != nullptr) return Handshake();
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return Down(ErrnoText(error));
  if (context_ != nullptr) {
    tls_ = std::make_unique<tls::ClientSession>(std::move(context_), std::move(host_), peer_, fd_.get());
    return Handshake();
  }
  up_ = true;
  handler_->OnLinkUp();
}

void Link::Handshake() {
  const tls::IoStatus status = tls_->Handshake();
  const tls::IoStatus flushed = tls_->Flush();
  if (status == tls::IoStatus::kFailed) return Down(tls_->error());
  if (flushed == tls::IoStatus::kFailed) return Down("TLS: the connection broke in the handshake");
  if (status != tls::IoStatus::kOk) return watch_->Set(true, flushed == tls::IoStatus::kWantWrite);
  up_ = true;
  handler_->OnLinkUp();
}

LinkStatus Link::Read(char* into, size_t size, size_t* n) {
  if (tls_ != nullptr) {
    switch (tls_->Read(into, size, n)) {
      case tls::IoStatus::kOk:
        return LinkStatus::kOk;
      case tls::IoStatus::kWantRead:
      case tls::IoStatus::kWantWrite:
        return LinkStatus::kAgain;
      case tls::IoStatus::kClosed:
        return LinkStatus::kEnd;
      case tls::IoStatus::kFailed:
        error_ = tls_->error();
        return LinkStatus::kFailed;
    }
  }
  for (;;) {
    const ssize_t r = recv(fd_.get(), into, size, 0);
    filled_ = r == static_cast<ssize_t>(size);
    if (r > 0) {
      *n = static_cast<size_t>(r);
      return LinkStatus::kOk;
    }
    if (r == 0) return LinkStatus::kEnd;
    if (errno == EINTR) continue;
    if (WouldBlock()) return LinkStatus::kAgain;
    error_ = ErrnoText(errno);
    return LinkStatus::kFailed;
  }
}

LinkStatus Link::Write(absl::string_view bytes, size_t* taken) {
  *taken = 0;
  if (tls_ == nullptr) {
    while (*taken < bytes.size()) {
      const ssize_t r = send(fd_.get(), bytes.data() + *taken, bytes.size() - *taken, MSG_NOSIGNAL);
      if (r > 0) {
        *taken += static_cast<size_t>(r);
        continue;
      }
      if (errno == EINTR) continue;
      if (WouldBlock()) return LinkStatus::kAgain;
      error_ = ErrnoText(errno);
      return LinkStatus::kFailed;
    }
    return LinkStatus::kOk;
  }
  for (;;) {
    const tls::IoStatus flushed = tls_->Flush();
    if (flushed == tls::IoStatus::kWantWrite) return LinkStatus::kAgain;
    if (flushed == tls::IoStatus::kFailed) {
      error_ = "the connection broke";
      return LinkStatus::kFailed;
    }
    if (*taken == bytes.size()) return LinkStatus::kOk;
    const absl::string_view piece = bytes.substr(*taken, kTlsPiece);
    if (tls_->Write(piece) != tls::IoStatus::kOk) {
      error_ = tls_->error();
      return LinkStatus::kFailed;
    }
    *taken += piece.size();
  }
}

bool Link::Drained() const {
  if (HasPending()) return false;
  if (tls_ == nullptr ? !filled_ : !tls_->input_filled()) return true;
  pollfd state{fd_.get(), POLLIN, 0};
  return poll(&state, 1, 0) == 0;
}

bool Link::Healthy(bool may_speak) {
  pollfd state{fd_.get(), static_cast<short>(POLLRDHUP | (may_speak ? 0 : POLLIN)), 0};
  if (poll(&state, 1, 0) == 0) return may_speak || !HasPending();
  if (tls_ == nullptr || state.revents != POLLIN) return false;
  // A new session ticket is nothing wrong.
  char octet;
  size_t n = 0;
  return Read(&octet, 1, &n) == LinkStatus::kAgain;
}

}  // namespace gatehouse::upstream
