#include "tests/bench/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::bench {
namespace {

constexpr uint8_t kEndStreamAndHeaders = 0x5;
constexpr unsigned char kAlpnHttp2[] = {2, 'h', '2'};
constexpr unsigned char kAlpnHttp1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

std::string Reason(const char* what) {
  const unsigned long code = ERR_peek_error();
  const char* text = code != 0 ? ERR_reason_error_string(code) : nullptr;
  std::string reason = absl::StrCat(what, ": ", text != nullptr ? text : "the connection ended");
  ERR_clear_error();
  return reason;
}

}  // namespace

uint64_t Now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

int Connection::NewSession(SSL* ssl, SSL_SESSION* session) {
  auto* connection = static_cast<Connection*>(SSL_get_app_data(ssl));
  if (connection == nullptr || connection->leaf_ == nullptr) return 0;
  connection->leaf_->session.reset(session);
  return 1;
}

bool Connection::Start(SSL_CTX* context, Leaf* leaf, STACK_OF(X509) * chain) {
  leaf_ = leaf;
  began_ = Now();
  first_request_ = true;
  next_stream_ = 1;
  resumed_ = answered_ = going_away_ = false;
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return End(absl::StrCat("socket: ", std::strerror(errno)));
  int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options_.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
    return End(absl::StrCat("connect: ", std::strerror(errno)));
  }
  ssl_.reset(SSL_new(context));
  SSL_set_fd(ssl_.get(), fd_);
  SSL_set_connect_state(ssl_.get());
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_tlsext_host_name(ssl_.get(), options_.host.c_str());
  if (options_.http2) {
    SSL_set_alpn_protos(ssl_.get(), kAlpnHttp2, sizeof kAlpnHttp2);
  } else {
    SSL_set_alpn_protos(ssl_.get(), kAlpnHttp1, sizeof kAlpnHttp1);
  }
  if (leaf->certificate != nullptr &&
      SSL_use_cert_and_key(ssl_.get(), leaf->certificate.get(), leaf->key.get(), chain, 1) != 1) {
    return End(Reason("client certificate"));
  }
  if (options_.resume && leaf->session != nullptr) SSL_set_session(ssl_.get(), leaf->session.get());
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = this;
  watching_writable_ = true;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_, &event);
  return true;
}

void Connection::Close() {
  if (ssl_ != nullptr) {
    // Without it OpenSSL forgets the session of a connection that ended without close_notify.
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    ssl_ = nullptr;
  }
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  open_ = false;
  flights_.clear();
  in_.clear();
  out_.clear();
  written_ = 0;
  http2_ = {};
}

bool Connection::End(std::string reason) {
  end_reason_ = std::move(reason);
  Close();
  return false;
}

void Connection::Watch(bool writable) {
  if (watching_writable_ == writable) return;
  watching_writable_ = writable;
  epoll_event event{};
  event.events = EPOLLIN | (writable ? EPOLLOUT : 0u);
  event.data.ptr = this;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_, &event);
}

void Connection::Send() {
  if (going_away_) return;
  uint32_t stream = 0;
  if (options_.http2) {
    stream = next_stream_;
    next_stream_ += 2;
    AppendFrame(out_, FrameType::kHeaders, kEndStreamAndHeaders, stream,
                first_request_ ? requests_.h2_first : requests_.h2_next);
    first_request_ = false;
  } else {
    out_ += options_.one_shot ? requests_.h1_close : requests_.h1;
  }
  flights_.push_back({stream, Now()});
}

void Connection::Flush() {
  while (written_ < out_.size()) {
    const int n = SSL_write(ssl_.get(), out_.data() + written_, static_cast<int>(out_.size() - written_));
    if (n <= 0) {
      // Anything but a full socket is seen again by the next read.
      if (SSL_get_error(ssl_.get(), n) == SSL_ERROR_WANT_WRITE) Watch(true);
      ERR_clear_error();
      return;
    }
    written_ += static_cast<size_t>(n);
  }
  out_.clear();
  written_ = 0;
  Watch(false);
}

bool Connection::Handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return End(Reason("handshake"));
    Watch(error == SSL_ERROR_WANT_WRITE);
    return true;
  }
  open_ = true;
  resumed_ = SSL_session_reused(ssl_.get()) == 1;
  if (options_.http2) {
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
    if (size != 2) return End("the server does not speak HTTP/2");
    AppendHttp2Opening(out_);
  }
  observer_.OnOpen(*this);
  Flush();
  return true;
}

void Connection::OnAnswer(uint32_t stream, int status) {
  for (Flight& flight : flights_) {
    if (flight.stream != stream) continue;
    const uint64_t began = flight.began;
    flight = flights_.back();
    flights_.pop_back();
    answered_ = true;
    observer_.OnAnswer(*this, status, began);
    return;
  }
}

void Connection::OnGoingAway(uint32_t last_stream) {
  going_away_ = true;
  if (options_.http2) std::erase_if(flights_, [last_stream](const Flight& f) { return f.stream > last_stream; });
}

bool Connection::Read() {
  static char buffer[65536];
  const ResponseSink sink = {[this](uint32_t stream, int status) { OnAnswer(stream, status); },
                             [this](uint32_t last) { OnGoingAway(last); }, body_};
  while (true) {
    const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
    if (n <= 0) {
      const int error = SSL_get_error(ssl_.get(), n);
      if (error == SSL_ERROR_WANT_READ) return true;
      return End(error == SSL_ERROR_ZERO_RETURN ? "close_notify" : Reason("read"));
    }
    in_.append(buffer, static_cast<size_t>(n));
    const bool sane = options_.http2 ? http2_.Read(in_, out_, sink) : ReadHttp1(in_, sink);
    if (!sane) return End("not an HTTP response");
    if (n < static_cast<int>(sizeof buffer) && SSL_has_pending(ssl_.get()) == 0) return true;
  }
}

bool Connection::Drive() {
  if (fd_ < 0) return true;  // closed by an earlier event of the same turn
  if (!open_ && !Handshake()) return false;
  if (!open_) return true;
  if (!Read()) return false;
  if (out_.empty()) {
    Watch(false);
  } else {
    Flush();
  }
  if (options_.one_shot && options_.close_first && answered_) {
    SSL_shutdown(ssl_.get());
    return End("closed by the client");
  }
  // A one-shot connection waits for the server's end, so that closing costs the server what it costs.
  if (!options_.one_shot && going_away_ && flights_.empty()) return End("the server goes away");
  return true;
}

}  // namespace gatehouse::bench
