// bench_upstream: the cheapest HTTP/1.1 server that proxies can be measured against. One thread; a fixed answer to each
// request head, save GET /echo, which is answered with the head itself, to see what a proxy adds.
//
//   bench_upstream PORT       on 127.0.0.1; prints "ready" when it listens
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_map>

namespace gatehouse::bench {
namespace {

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
          Serve(events[i].data.fd);
        }
      }
    }
  }

 private:
  void Watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void Accept() {
    while (true) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      heads_[fd].clear();
      Watch(fd);
    }
  }

  void Serve(int fd) {
    char buffer[65536];
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      heads_.erase(fd);
      close(fd);
      return;
    }
    std::string& in = heads_[fd];
    in.append(buffer, static_cast<size_t>(n));
    std::string out;
    size_t taken = 0;
    for (size_t end; (end = in.find("\r\n\r\n", taken)) != std::string::npos; taken = end + 4) {
      if (in.compare(taken, 9, "GET /echo") == 0) {
        const std::string head = in.substr(taken, end + 4 - taken);
        out += "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(head.size()) + "\r\n\r\n" + head;
      } else {
        out.append(kAnswer, sizeof kAnswer - 1);
      }
    }
    in.erase(0, taken);
    if (!out.empty()) send(fd, out.data(), out.size(), MSG_NOSIGNAL);
  }

  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  int listener_ = -1;
  std::unordered_map<int, std::string> heads_;
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
