#include "tests/bench/load.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace gatehouse::bench {
namespace {

constexpr int kMostRestarts = 100'000;
constexpr int kOpeningAtOnce = 32;
constexpr size_t kMostLatencies = 4'000'000;  // a load of many minutes keeps the first

// The server's certificate is ours, and its verification would be the generator's cost only.
int AcceptAnyServer(X509_STORE_CTX* /*context*/, void* /*argument*/) { return 1; }

UniqueSslCtx ClientContext() {
  UniqueSslCtx context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* c = context.get();
  SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set1_groups_list(c, "X25519");
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_read_ahead(c, 1);
  SSL_CTX_set_cert_verify_callback(c, AcceptAnyServer, nullptr);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(c, Connection::NewSession);
  return context;
}

}  // namespace

Load::Load(const LoadOptions& options, Leaves leaves)
    : options_(options),
      requests_(Requests::Make(options.connection.host, options.path, options.basic, options.body)),
      leaves_(std::move(leaves)),
      context_(ClientContext()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

Load::~Load() {
  connections_.clear();
  close(epoll_);
}

void Load::Begin(Connection& connection) {
  if (!connection.Start(context_.get(), &leaves_.Next(), leaves_.chain())) {
    std::fprintf(stderr, "bench_load: %s\n", connection.end_reason().c_str());
    std::exit(1);
  }
}

void Load::Add() {
  connections_.push_back(std::make_unique<Connection>(epoll_, options_.connection, requests_, *this));
  if (options_.mode == Mode::kOnce) connections_.back()->set_body(&body_);
  Begin(*connections_.back());
}

void Load::Open(absl::Duration limit) {
  const uint64_t end = Now() + static_cast<uint64_t>(absl::ToInt64Nanoseconds(limit));
  const auto wanted = static_cast<size_t>(options_.connections);
  if (options_.mode == Mode::kHandshake || options_.mode == Mode::kOnce) {
    while (connections_.size() < wanted) Add();
    return;
  }
  // A server's backlog is not what is measured.
  while (Now() < end) {
    const auto open = static_cast<size_t>(open_connections());
    if (open == wanted) break;
    while (connections_.size() < wanted && connections_.size() < open + kOpeningAtOnce) Add();
    Turn(20);
  }
  if (options_.mode == Mode::kIdle) RunUntilAnswers(options_.connections, absl::Nanoseconds(end - std::min(end, Now())));
}

int64_t Load::open_connections() const {
  return std::count_if(connections_.begin(), connections_.end(), [](const auto& c) { return c->open(); });
}

void Load::OnOpen(Connection& connection) {
  ++(connection.resumed() ? tally_.resumed : tally_.full);
  if (options_.rate > 0) return;
  const bool many = options_.mode == Mode::kKeepAlive && options_.connection.http2;
  for (int i = 0; i < (many ? options_.streams : 1); ++i) connection.Send();
}

void Load::OnAnswer(Connection& connection, int status, uint64_t began) {
  ++answers_[status >= 0 && status < static_cast<int>(answers_.size()) ? static_cast<size_t>(status) : 0];
  if (status == 200) {
    ++tally_.ok;
  } else {
    ++tally_.other;
    ++tally_.reasons[absl::StrCat("status ", status)];
  }
  const uint64_t from = options_.mode == Mode::kHandshake ? connection.began() : began;
  if (tally_.latencies.size() < kMostLatencies) tally_.latencies.push_back(static_cast<float>(Now() - from) / 1000);
  if (options_.mode == Mode::kKeepAlive && options_.rate == 0 && !stopping_) connection.Send();
}

void Load::Ended(Connection& connection) {
  const bool expected = options_.connection.one_shot && connection.answered();
  if (!expected) {
    ++tally_.failed;
    ++failures_;
    ++tally_.reasons[connection.end_reason()];
    ++restarts_;
  }
  if (!stopping_ && options_.mode != Mode::kOnce && restarts_ < kMostRestarts) Begin(connection);
}

void Load::Turn(int timeout_ms) {
  epoll_event events[256];
  const int n = epoll_wait(epoll_, events, 256, timeout_ms);
  for (int i = 0; i < n; ++i) {
    auto& connection = *static_cast<Connection*>(events[i].data.ptr);
    if (!connection.Drive()) Ended(connection);
  }
}

// What the server was too slow for is not sent later at once: the schedule forgets what is older than 10 ms.
void Load::SendDue() {
  const uint64_t now = Now();
  const auto pause = static_cast<uint64_t>(1e9 / options_.rate);
  next_due_ = std::max(next_due_, now - 10'000'000);
  const auto most = static_cast<size_t>(options_.connection.http2 ? options_.streams : 1);
  for (size_t passed = 0; next_due_ <= now && passed < connections_.size(); turn_ = (turn_ + 1) % connections_.size()) {
    Connection& connection = *connections_[turn_];
    if (!connection.open() || connection.in_flight() >= most) {
      ++passed;
      continue;
    }
    passed = 0;
    connection.Send();
    connection.Flush();
    next_due_ += pause;
  }
}

void Load::RunFor(absl::Duration time) {
  const uint64_t end = Now() + static_cast<uint64_t>(absl::ToInt64Nanoseconds(time));
  while (true) {
    const uint64_t now = Now();
    if (now >= end) return;
    if (options_.rate > 0 && !stopping_) SendDue();
    Turn(static_cast<int>(std::min<uint64_t>(options_.rate > 0 ? 1 : 50, (end - now) / 1'000'000 + 1)));
  }
}

bool Load::Drain(absl::Duration limit) {
  Stop();
  const auto busy = [this] { return std::any_of(connections_.begin(), connections_.end(), [](const auto& c) { return c->busy(); }); };
  const uint64_t end = Now() + static_cast<uint64_t>(absl::ToInt64Nanoseconds(limit));
  while (busy() && Now() < end) Turn(20);
  return !busy();
}

std::map<int, int64_t> Load::answers() const {
  std::map<int, int64_t> result;
  for (size_t status = 0; status < answers_.size(); ++status) {
    if (answers_[status] != 0) result[static_cast<int>(status)] = answers_[status];
  }
  return result;
}

bool Load::RunUntilAnswers(int64_t answers, absl::Duration limit) {
  const uint64_t end = Now() + static_cast<uint64_t>(absl::ToInt64Nanoseconds(limit));
  while (tally_.answers() < answers && Now() < end) Turn(20);
  return tally_.answers() >= answers;
}

}  // namespace gatehouse::bench
