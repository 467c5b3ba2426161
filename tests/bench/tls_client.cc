#include "tests/bench/tls_client.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "gateway/certs/mint.h"

namespace gatehouse::bench {

using loop::Instant;

World::World() : ctx(SSL_CTX_new(TLS_client_method())), key(*certs::MintKey(certs::KeyType::kP256)) {
  SSL_CTX_set_mode(ctx.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
}

TlsClient::TlsClient(const World& world, X509* leaf, const std::string& from) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  if (inet_pton(AF_INET, from.c_str(), &own.sin_addr) == 1) {
    ::bind(fd_, reinterpret_cast<sockaddr*>(&own), sizeof own);
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(world.port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  timeval timeout{120, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ssl_.reset(SSL_new(world.ctx.get()));
  SSL_set_tlsext_host_name(ssl_.get(), "localhost");
  if (leaf != nullptr) {
    SSL_use_certificate(ssl_.get(), leaf);
    SSL_use_PrivateKey(ssl_.get(), world.key.get());
  }
  open_ = fd_ >= 0 && ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 &&
          SSL_set_fd(ssl_.get(), fd_) == 1 && SSL_connect(ssl_.get()) == 1;
  SSL_certs_clear(ssl_.get());
  TakeOpenSslError();
}

TlsClient::~TlsClient() { ::close(fd_); }

int TlsClient::Ask() {
  const std::string request = absl::StrCat("GET /secure HTTP/1.1\r\nHost: localhost\r\n", authorization_, "\r\n");
  if (!open_ || SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size())) <= 0) return Gone();
  std::string answer;
  char buffer[2048];
  for (;;) {
    int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
    if (n <= 0) return Gone();
    answer.append(buffer, static_cast<size_t>(n));
    size_t head = answer.find("\r\n\r\n");
    size_t length = answer.find("ontent-length: ");
    if (head == std::string::npos || length == std::string::npos) continue;
    if (answer.size() >= head + 4 + static_cast<size_t>(std::atoi(answer.c_str() + length + 15))) break;
  }
  return std::atoi(answer.c_str() + 9);
}

int TlsClient::Gone() {
  TakeOpenSslError();
  open_ = false;
  return 0;
}

Asker::Asker(const World& world, certs::CertificateRef leaf, Terms terms)
    : leaf_(std::move(leaf)), terms_(terms), thread_([this, &world] { Run(world); }) {}

void Asker::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void Asker::Run(const World& world) {
  auto client = std::make_unique<TlsClient>(world, leaf_->x509());
  while (!stop_) {
    const Instant sent = Instant::Now();
    if (terms_.reconnect) client = std::make_unique<TlsClient>(world, leaf_->x509());
    const int status = client->Ask();
    answers_.push_back({sent, Instant::Now(), status});
    ++asked_;
    if (status != 200) ++refused_;
    if (status == 0 && !terms_.reconnect) client = std::make_unique<TlsClient>(world, leaf_->x509());
    if (terms_.pause > absl::ZeroDuration()) absl::SleepFor(terms_.pause);
  }
}

std::string Sample::Json() {
  if (values.empty()) return "null";
  std::sort(values.begin(), values.end());
  const auto at = [&](double part) {
    return values[std::min(values.size() - 1, static_cast<size_t>(part * static_cast<double>(values.size())))];
  };
  return absl::StrFormat("{\"min\":%.0f,\"p50\":%.0f,\"p99\":%.0f,\"max\":%.0f}", values.front(), at(0.5), at(0.99), values.back());
}

}  // namespace gatehouse::bench
