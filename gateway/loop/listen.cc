#include "gateway/loop/listen.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::loop {
namespace {

absl::Status Unavailable(const Address& address, absl::string_view doing, int error) {
  absl::string_view hint = "";
  if (error == EADDRINUSE) hint = " (another socket listens there)";
  if (error == EACCES) hint = " (a port below 1024 needs CAP_NET_BIND_SERVICE)";
  return absl::UnavailableError(
      absl::StrCat("cannot ", doing, " ", address.ToString(), ": ", strerror(error), hint));
}

absl::StatusOr<Fd> Bind(const Address& address, bool reuse_port) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Unavailable(address, "make a socket for", errno);
  int one = 1;
  int zero = 0;
  // SO_REUSEADDR: connections of before that linger in TIME_WAIT do not hold the port.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (reuse_port && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) {
    return Unavailable(address, "set SO_REUSEPORT on", errno);
  }
  if (address.family() == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  if (bind(fd.get(), address.addr(), address.length()) != 0) return Unavailable(address, "bind", errno);
  return fd;
}

}  // namespace

Fd& Fd::operator=(Fd&& o) noexcept {
  if (this != &o) {
    Close();
    fd_ = o.Release();
  }
  return *this;
}

void Fd::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

absl::Status ProbeBind(const Address& address) {
  if (address.port() == 0) return absl::OkStatus();
  GH_ASSIGN_OR_RETURN(Fd fd, Bind(address, /*reuse_port=*/false));
  return absl::OkStatus();
}

absl::StatusOr<AddressClaim> AddressClaim::Take(const Address& address, const std::string& lock_directory) {
  if (address.port() == 0) return AddressClaim(Fd());
  Fd lock;
  if (!lock_directory.empty()) {
    if (mkdir(lock_directory.c_str(), 0700) != 0 && errno != EEXIST) {
      return absl::UnavailableError(
          absl::StrCat("cannot make the lock directory ", lock_directory, ": ", strerror(errno)));
    }
    std::string path = absl::StrCat(lock_directory, "/listen-", address.ToString(), ".lock");
    lock = Fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.valid()) {
      return absl::UnavailableError(absl::StrCat("cannot open the lock file ", path, ": ", strerror(errno)));
    }
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address.ToString(),
                                                 ": another Gatehouse process holds it (lock file ", path, ")"));
    }
  }
  GH_RETURN_IF_ERROR(ProbeBind(address));
  return AddressClaim(std::move(lock));
}

absl::StatusOr<ListenSocket> ListenSocket::Open(const Address& address, const ListenOptions& options) {
  GH_ASSIGN_OR_RETURN(Fd fd, Bind(address, options.reuse_port));
  int one = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  int defer = static_cast<int>(absl::ToInt64Seconds(options.defer_accept));
  if (defer > 0) setsockopt(fd.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof defer);
  if (listen(fd.get(), options.backlog) != 0) return Unavailable(address, "listen on", errno);
  Address bound = Address::LocalOf(fd.get());
  return ListenSocket(std::move(fd), bound);
}

absl::StatusOr<ListenSocket> ListenSocket::Adopt(Fd fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 || listening == 0) {
    return absl::InvalidArgumentError(absl::StrCat("descriptor ", fd.get(), " is not a listening socket"));
  }
  int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
      fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot set flags of an adopted socket: ", strerror(errno)));
  }
  Address bound = Address::LocalOf(fd.get());
  return ListenSocket(std::move(fd), bound);
}

Acceptor::Acceptor(Loop* loop, ListenSocket socket, absl::AnyInvocable<void(Fd, const Address&)> on_accept)
    : socket_(std::move(socket)),
      on_accept_(std::move(on_accept)),
      watch_(std::make_unique<Watch>(loop, socket_.fd(), [this](bool, bool) { OnReadable(); })),
      rest_(loop, [this] {
        resting_ = false;
        Update();
      }) {
  Update();
}

void Acceptor::Pause() {
  paused_ = true;
  Update();
}

void Acceptor::Resume() {
  paused_ = false;
  Update();
}

ListenSocket Acceptor::Release() {
  paused_ = true;
  Update();
  return std::move(socket_);
}

void Acceptor::Update() { watch_->Set(!paused_ && !resting_, false); }

void Acceptor::OnReadable() {
  for (int i = 0; i < 32 && !paused_; ++i) {
    sockaddr_in6 peer;
    socklen_t length = sizeof peer;
    int fd = accept4(socket_.fd(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      on_accept_(Fd(fd), Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&peer)));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      ++exhausted_;
      resting_ = true;
      Update();
      rest_.Start(absl::Milliseconds(100));
      return;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    // ECONNABORTED, EINTR, EPROTO and network errors concern one caller: go on with the next.
  }
}

}  // namespace gatehouse::loop
