#include "gateway/loop/proxy_reader.h"

#include <sys/socket.h>

#include <cerrno>

namespace gatehouse::loop {

ProxyReader::State ProxyReader::Read(int fd) {
  char buffer[kMaxProxyHeader];
  for (;;) {
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return State::kMore;
    if (n <= 0) return State::kGone;
    const size_t before = held_.size();
    held_.append(buffer, static_cast<size_t>(n));
    header_ = ReadProxyHeader(held_);
    if (header_.kind == ProxyHeader::Kind::kBad) return State::kBad;
    const bool complete = header_.kind == ProxyHeader::Kind::kComplete;
    // Only what belongs to the header is taken; it is there, since it was looked at.
    const size_t mine = complete ? header_.length - before : static_cast<size_t>(n);
    if (recv(fd, buffer, mine, MSG_DONTWAIT) != static_cast<ssize_t>(mine)) return State::kGone;
    if (complete) return State::kDone;
  }
}

}  // namespace gatehouse::loop
