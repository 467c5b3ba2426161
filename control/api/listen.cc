#include "control/api/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::api {
namespace {

constexpr int kBacklog = 64;

absl::Status Failed(absl::string_view doing, const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat(doing, " ", path, ": ", std::strerror(errno)));
}

absl::StatusOr<gid_t> GroupId(const std::string& name) {
  struct group entry {};
  struct group* found = nullptr;
  std::string buffer(16 * 1024, '\0');
  if (getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("--socket-group ", name, ": there is no such group"));
  }
  return entry.gr_gid;
}

// `group` may pass through, if it is given; it cannot list what is there.
absl::Status PrepareFolder(const std::string& path, std::optional<gid_t> group) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash == 0 ? 1 : slash);
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return Failed("cannot create", folder);
  struct stat info;
  if (stat(folder.c_str(), &info) != 0) return Failed("cannot look at", folder);
  const mode_t closed = group.has_value() && info.st_gid == *group ? 067 : 077;
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & closed) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the control socket's directory ", folder, " must be yours alone: chmod 0700 ", folder));
  }
  if (group.has_value() && (chown(folder.c_str(), static_cast<uid_t>(-1), *group) != 0 || chmod(folder.c_str(), 0710) != 0)) {
    return Failed("--socket-group: cannot open to the group", folder);
  }
  return absl::OkStatus();
}

// A range of its own for connections: gRPC's own descriptors never come there, so "fd:N" means one connection.
int FirstDescriptor() {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 65536) return 32768;
  return static_cast<int>(limit.rlim_cur / 2);
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Open(const std::string& path,
                                                                 std::shared_ptr<PeerCredentials> credentials,
                                                                 MayConnect may_connect, const std::string& group) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("control socket \"", path, "\": a path of 1 to ",
                                                   sizeof(address.sun_path) - 1, " octets is expected"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  std::optional<gid_t> gid;
  if (!group.empty()) {
    GH_ASSIGN_OR_RETURN(gid, GroupId(group));
  }
  GH_RETURN_IF_ERROR(PrepareFolder(path, gid));

  auto listener = std::unique_ptr<UnixListener>(new UnixListener());
  listener->credentials_ = std::move(credentials);
  listener->may_connect_ = std::move(may_connect);
  const std::string lock = absl::StrCat(path, ".lock");
  listener->lock_ = open(lock.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (listener->lock_ < 0) return Failed("cannot open", lock);
  if (flock(listener->lock_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("another process serves the control socket ", path));
  }
  struct stat info;
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is not a socket"));
    if (unlink(path.c_str()) != 0) return Failed("cannot remove the old socket", path);
  }
  listener->listen_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener->listen_ < 0 ||
      bind(listener->listen_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Failed("cannot bind the control socket", path);
  }
  listener->path_ = path;
  if (gid.has_value() && chown(path.c_str(), static_cast<uid_t>(-1), *gid) != 0) return Failed("--socket-group: cannot open", path);
  if (chmod(path.c_str(), gid.has_value() ? 0660 : 0600) != 0 || listen(listener->listen_, kBacklog) != 0) {
    return Failed("cannot listen on the control socket", path);
  }
  listener->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (listener->wake_ < 0) return Failed("cannot make an event descriptor for", path);
  listener->next_descriptor_ = FirstDescriptor();
  return listener;
}

UnixListener::~UnixListener() { Stop(); }

void UnixListener::Serve(grpc::Server& server) {
  thread_ = std::thread([this, &server] { Run(server); });
}

void UnixListener::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    while (write(wake_, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread_.join();
  }
  if (!path_.empty()) unlink(path_.c_str());
  path_.clear();
  for (int* fd : {&listen_, &wake_, &lock_}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

void UnixListener::Run(grpc::Server& server) {
  pollfd polled[] = {{listen_, POLLIN, 0}, {wake_, POLLIN, 0}};
  while (true) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) return;
    if (polled[1].revents != 0) return;
    if (polled[0].revents != 0) Accept(server);
  }
}

void UnixListener::Accept(grpc::Server& server) {
  const int accepted = accept4(listen_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted < 0) {
    // Out of descriptors: the connection stays in the queue, and poll would spin.
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) usleep(10'000);
    return;
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || !may_connect_(peer.uid)) {
    close(accepted);
    return;
  }
  // A number that was not in use lately, so that a late look-up for a closed connection does not find a new one's.
  int fd = fcntl(accepted, F_DUPFD_CLOEXEC, next_descriptor_);
  if (fd < 0) fd = fcntl(accepted, F_DUPFD_CLOEXEC, FirstDescriptor());
  close(accepted);
  if (fd < 0) return;
  next_descriptor_ = fd + 1;
  credentials_->Set(fd, peer.uid);
  grpc::AddInsecureChannelFromFd(&server, fd);
}

absl::Status CheckLoopback(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon != std::string::npos) {
    const std::string host = address.substr(0, colon);
    in_addr v4{};
    if (host == "[::1]" || host == "localhost") return absl::OkStatus();
    if (inet_pton(AF_INET, host.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--insecure-loopback ", address, ": only 127.x.y.z:port, [::1]:port or localhost:port"));
}

}  // namespace gatehouse::api
