// bench_upstream: the cheapest HTTP/1.1 server that proxies can be measured against. One thread; a fixed answer to each
// request, save GET /echo, which is answered with the head itself, to see what a proxy adds, and GET /large, which is
// answered with 8 MiB. Request bodies are read by Content-Length, and dropped.
//
//   bench_upstream PORT       on 127.0.0.1; prints "ready" when it listens
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_map>

namespace gatehouse::bench {
namespace {

constexpr size_t kLargeBytes = 8 * 1024 * 1024;
constexpr char kAnswer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\r\nok\n";

class Upstream {
 public:
  bool Listen(int port) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
    if (listen(listener_, 4096) != 0) return false;
    Watch(listener_);
    return true;
  }

  [[noreturn]] void Run() {
    epoll_event events[256];
    while (true) {
      const int n = epoll_wait(epoll_, events, 256, -1);
      for (int i = 0; i < n; ++i) {
        if (events[i].data.fd == listener_) {
          Accept();
        } else {
          Serve(events[i].data.fd, events[i].events);
        }
      }
    }
  }

 private:
  struct Peer {
    std::string in;          // of a head that is not whole
    std::string out;         // what the socket did not take
    size_t body_to_read = 0;  // of the request; the answer follows it
    size_t body_to_send = 0;  // after `out`
    bool waits = false;       // for the socket to take more
  };

  void Watch(int fd, uint32_t for_what = EPOLLIN, int operation = EPOLL_CTL_ADD) {
    epoll_event event{};
    event.events = for_what;
    event.data.fd = fd;
    epoll_ctl(epoll_, operation, fd, &event);
  }

  void Accept() {
    while (true) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      peers_[fd] = {};
      Watch(fd);
    }
  }

  void Serve(int fd, uint32_t ready) {
    Peer& peer = peers_[fd];
    if ((ready & EPOLLOUT) != 0) Write(fd, peer);
    if ((ready & ~static_cast<uint32_t>(EPOLLOUT)) == 0) return;
    static char buffer[256 * 1024];
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      peers_.erase(fd);
      close(fd);
      return;
    }
    size_t from = std::min(peer.body_to_read, static_cast<size_t>(n));
    if (from > 0 && (peer.body_to_read -= from) == 0) peer.out.append(kAnswer, sizeof kAnswer - 1);
    peer.in.append(buffer + from, static_cast<size_t>(n) - from);
    Read(peer);
    if (!peer.out.empty() || peer.body_to_send > 0) Write(fd, peer);
  }

  void Read(Peer& peer) {
    size_t taken = 0;
    for (size_t end; peer.body_to_read == 0 && (end = peer.in.find("\r\n\r\n", taken)) != std::string::npos;) {
      const std::string head = peer.in.substr(taken, end + 4 - taken);
      taken = end + 4;
      if (head.compare(0, 9, "GET /echo") == 0) {
        peer.out += "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(head.size()) + "\r\n\r\n" + head;
      } else if (head.compare(0, 10, "GET /large") == 0) {
        peer.out += "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kLargeBytes) + "\r\n\r\n";
        peer.body_to_send = kLargeBytes;  // a proxy sends no second request before it has this
      } else if (const size_t length = BodyLength(head); length > 0) {
        const size_t here = std::min(length, peer.in.size() - taken);
        taken += here;
        if ((peer.body_to_read = length - here) == 0) peer.out.append(kAnswer, sizeof kAnswer - 1);
      } else {
        peer.out.append(kAnswer, sizeof kAnswer - 1);
      }
    }
    peer.in.erase(0, taken);
  }

  static size_t BodyLength(const std::string& head) {
    constexpr char kName[] = "\r\ncontent-length:";
    const auto at = std::search(head.begin(), head.end(), kName, kName + sizeof kName - 1,
                                [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
    if (at == head.end()) return 0;
    return std::strtoull(head.c_str() + (at - head.begin()) + sizeof kName - 1, nullptr, 10);
  }

  void Write(int fd, Peer& peer) {
    static const std::string body(256 * 1024, 'x');
    while (!peer.out.empty() || peer.body_to_send > 0) {
      const bool head = !peer.out.empty();
      const ssize_t n = head ? send(fd, peer.out.data(), peer.out.size(), MSG_NOSIGNAL)
                             : send(fd, body.data(), std::min(body.size(), peer.body_to_send), MSG_NOSIGNAL);
      if (n < 0) break;  // full, or gone, which the next read tells
      if (head) {
        peer.out.erase(0, static_cast<size_t>(n));
      } else {
        peer.body_to_send -= static_cast<size_t>(n);
      }
    }
    const bool waits = !peer.out.empty() || peer.body_to_send > 0;
    if (waits == peer.waits) return;
    peer.waits = waits;
    Watch(fd, waits ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
  }

  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  int listener_ = -1;
  std::unordered_map<int, Peer> peers_;
};

int Run(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc != 2) {
    std::fprintf(stderr, "usage: bench_upstream PORT\n");
    return 2;
  }
  Upstream upstream;
  if (!upstream.Listen(std::atoi(argv[1]))) {
    std::perror("bench_upstream: listen");
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  upstream.Run();
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) { return gatehouse::bench::Run(argc, argv); }
