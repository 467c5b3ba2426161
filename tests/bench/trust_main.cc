// bench_trust: what a change of trust costs while many are connected. A gateway in a process of its own, one trust store
// and scheme for each authority; clients in this one, thousands of idle connections and some that ask without pause. Again
// and again an authority is withdrawn.
//
//   bench_trust [--connections N] [--stores N] [--changes N] [--workers N]
//
// Prints one JSON object: how long until the change was in force (from the compiled configuration's beginning, and
// compiling alone), until a withdrawn client that keeps asking was first refused, until the last idle connection of its
// authority was ended; how many requests of withdrawn clients that were sent after "in force" were accepted; and what
// the others saw: slowest answers, requests lost, connections lost. Exit status 1 when one was accepted or lost.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "gateway/certs/mint.h"
#include "gateway/config/build.h"
#include "gateway/loop/instant.h"
#include "gateway/server/gateway.h"

namespace gatehouse::bench {
namespace {

using loop::Instant;

struct Options {
  int connections = 10'000;
  int stores = 100;
  int changes = 50;
  int workers = 2;
};

struct Authority {
  UniqueKey key;
  certs::CertificateRef certificate;
};

[[noreturn]] void Die(absl::string_view what) {
  std::fprintf(stderr, "bench_trust: %s\n", std::string(what).c_str());
  std::exit(1);
}

certs::MintRequest Request(certs::Profile profile, std::string subject) {
  certs::MintRequest request;
  request.profile = profile;
  request.subject = std::move(subject);
  request.not_before = absl::Now() - absl::Hours(1);
  request.not_after = absl::Now() + absl::Hours(24);
  return request;
}

certs::CertificateRef MintOrDie(const certs::MintRequest& request, EVP_PKEY* key, std::optional<certs::Signer> signer = {}) {
  absl::StatusOr<certs::CertificateRef> certificate = certs::Mint(request, key, signer);
  if (!certificate.ok()) Die(certificate.status().message());
  return *std::move(certificate);
}

Authority NewAuthority(const std::string& subject) {
  Authority authority;
  authority.key = *certs::MintKey(certs::KeyType::kP256);
  authority.certificate = MintOrDie(Request(certs::Profile::kCa, subject), authority.key.get());
  return authority;
}

// The gateway's process: obeys numbers on `in` (withdraw this authority), says times on `out`.
struct Times {
  Instant begun, built, in_force;
  int port;
};

class GatewayProcess {
 public:
  GatewayProcess(const Options& options, const std::vector<Authority>& authorities, const Authority& spare)
      : spare_(spare.certificate->ToPem()) {
    server::GatewayOptions gateway;
    gateway.workers = options.workers;
    gateway_ = *server::Gateway::Start(std::move(gateway));
    UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
    certs::MintRequest server = Request(certs::Profile::kSelfSigned, "CN=localhost");
    server.server_use = true;
    server.sans = {{certs::SanKind::kDns, "localhost"}};
    v1::ServerCertificate& certificate = *set_.add_server_certificates();
    certificate.set_name("server");
    certificate.set_certificate_chain_pem(MintOrDie(server, key.get())->ToPem());
    certificate.set_private_key_pem(std::string(certs::KeyToPem(key.get())->Reveal()));
    v1::Listener& listener = *set_.add_listeners();
    listener.set_name("edge");
    listener.set_address("127.0.0.1:0");
    listener.add_server_certificates("server");
    v1::Route& route = *set_.add_routes();
    route.set_name("secure");
    route.mutable_match()->set_path("/secure");
    route.mutable_fixed_response()->set_body("ok");
    for (size_t i = 0; i < authorities.size(); ++i) {
      v1::TrustStore& store = *set_.add_trust_stores();
      store.set_name(absl::StrFormat("store%04d", i));
      store.add_anchors()->set_pem(authorities[i].certificate->ToPem());
      v1::Scheme& scheme = *set_.add_schemes();
      scheme.set_name(absl::StrFormat("scheme%04d", i));
      scheme.mutable_client_certificate()->set_trust_store(store.name());
      route.mutable_require()->add_any_of(scheme.name());
    }
  }

  void Run(int in, int out) {
    Say(out, Install());
    int authority = 0;
    while (::read(in, &authority, sizeof authority) == sizeof authority) {
      set_.mutable_trust_stores(authority)->mutable_anchors(0)->set_pem(spare_);
      Say(out, Install());
    }
  }

 private:
  Times Install() {
    Times times{};
    times.begun = Instant::Now();
    std::shared_ptr<const config::Snapshot> previous = gateway_->current();
    config::BuildOptions build;
    build.revision = ++revision_;
    build.incarnation = "bench";
    build.previous = previous.get();
    config::BuildResult built = config::Build(set_, build);
    if (!built.ok()) Die(absl::StrCat(built.violations[0].path, ": ", built.violations[0].message));
    times.built = Instant::Now();
    std::promise<absl::Status> done;
    gateway_->Install(built.snapshot, [&done](absl::Status status) { done.set_value(std::move(status)); });
    absl::Status status = done.get_future().get();
    times.in_force = Instant::Now();
    if (!status.ok()) Die(status.message());
    const std::string address = gateway_->listeners().at(0).address;
    if (!absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &times.port)) Die(address);
    return times;
  }
  static void Say(int out, const Times& times) {
    if (::write(out, &times, sizeof times) != sizeof times) std::exit(0);
  }

  const std::string spare_;
  v1::ConfigSet set_;
  uint64_t revision_ = 0;
  std::unique_ptr<server::Gateway> gateway_;
};

// Everything that the clients share.
struct World {
  int port = 0;
  UniqueSslCtx ctx;
  UniqueKey key;  // of every leaf: minting is not what is measured
};

class Connection {
 public:
  Connection(const World& world, X509* leaf) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(world.port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval timeout{30, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ssl_.reset(SSL_new(world.ctx.get()));
    SSL_set_tlsext_host_name(ssl_.get(), "localhost");
    SSL_use_certificate(ssl_.get(), leaf);
    SSL_use_PrivateKey(ssl_.get(), world.key.get());
    open_ = fd_ >= 0 && ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 &&
            SSL_set_fd(ssl_.get(), fd_) == 1 && SSL_connect(ssl_.get()) == 1;
    SSL_certs_clear(ssl_.get());
    TakeOpenSslError();
  }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  // The answer's status; 0 when the connection ended instead.
  int Ask() {
    static constexpr absl::string_view kRequest = "GET /secure HTTP/1.1\r\nHost: localhost\r\n\r\n";
    if (!open_ || SSL_write(ssl_.get(), kRequest.data(), static_cast<int>(kRequest.size())) <= 0) return Gone();
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

 private:
  int Gone() {
    TakeOpenSslError();
    open_ = false;
    return 0;
  }
  int fd_ = -1;
  UniqueSsl ssl_;
  bool open_ = false;
};

// Microseconds, told by their order.
struct Sample {
  std::vector<double> values;
  void Add(absl::Duration d) { values.push_back(absl::ToDoubleMicroseconds(d)); }
  std::string Json() {
    std::sort(values.begin(), values.end());
    const auto at = [&](double part) { return values[std::min(values.size() - 1, static_cast<size_t>(part * static_cast<double>(values.size())))]; };
    if (values.empty()) return "null";
    return absl::StrFormat("{\"min\":%.0f,\"p50\":%.0f,\"p99\":%.0f,\"max\":%.0f}", values.front(), at(0.5), at(0.99), values.back());
  }
};

// Asks without pause until told to stop.
class Asker {
 public:
  Asker(const World& world, certs::CertificateRef leaf)
      : leaf_(std::move(leaf)), thread_([this, &world] { Run(world); }) {}
  ~Asker() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  struct Answer {
    Instant sent, answered;
    int status;
  };
  std::vector<Answer> answers;  // after Stop
  std::atomic<size_t> asked{0};

 private:
  void Run(const World& world) {
    auto connection = std::make_unique<Connection>(world, leaf_->x509());
    while (!stop_) {
      Instant sent = Instant::Now();
      int status = connection->Ask();
      answers.push_back({sent, Instant::Now(), status});
      ++asked;
      if (status == 0) connection = std::make_unique<Connection>(world, leaf_->x509());
    }
  }
  const certs::CertificateRef leaf_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

int Run(const Options& options) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::vector<Authority> authorities;
  for (int i = 0; i < options.stores; ++i) authorities.push_back(NewAuthority(absl::StrCat("CN=Authority ", i)));
  const Authority spare = NewAuthority("CN=Spare");

  int to[2], from[2];
  if (::pipe(to) != 0 || ::pipe(from) != 0) Die("pipe");
  const pid_t child = ::fork();  // before any thread
  if (child == 0) {
    ::close(to[1]);
    ::close(from[0]);
    GatewayProcess(options, authorities, spare).Run(to[0], from[1]);
    std::_Exit(0);
  }
  ::close(to[0]);
  ::close(from[1]);
  const auto hear = [&] {
    Times times{};
    if (::read(from[0], &times, sizeof times) != sizeof times) Die("the gateway is gone");
    return times;
  };

  World world;
  world.port = hear().port;
  world.ctx.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_mode(world.ctx.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(world.ctx.get(), SSL_SESS_CACHE_OFF);
  world.key = *certs::MintKey(certs::KeyType::kP256);
  const auto leaf_of = [&](const Authority& a, const std::string& name) {
    return MintOrDie(Request(certs::Profile::kLeaf, absl::StrCat("CN=", name)), world.key.get(),
                certs::Signer{a.certificate.get(), a.key.get()});
  };

  // Idle connections, each with a certificate of its own; the last authority is never withdrawn.
  std::vector<std::vector<std::unique_ptr<Connection>>> idle(authorities.size());
  std::atomic<size_t> next{0};
  std::vector<std::thread> openers;
  for (int t = 0; t < 4; ++t) {
    openers.emplace_back([&] {
      for (size_t a; (a = next++) < authorities.size();) {
        for (int i = 0; i < options.connections / options.stores; ++i) {
          certs::CertificateRef leaf = leaf_of(authorities[a], absl::StrCat("client ", a, " ", i));
          idle[a].push_back(std::make_unique<Connection>(world, leaf->x509()));
          if (idle[a].back()->Ask() != 200) Die("a client was not let in");
        }
      }
    });
  }
  for (std::thread& opener : openers) opener.join();

  std::vector<std::unique_ptr<Asker>> trusted;
  for (int i = 0; i < 2; ++i) {
    trusted.push_back(std::make_unique<Asker>(world, leaf_of(authorities.back(), absl::StrCat("trusted ", i))));
  }
  Sample build, in_force, refusal, sweep, latency;
  int64_t accepted = 0;
  const int changes = std::min(options.changes, options.stores - 1);
  for (int i = 0; i < changes; ++i) {
    Asker withdrawn(world, leaf_of(authorities[static_cast<size_t>(i)], "asks on"));
    while (withdrawn.asked < 5) absl::SleepFor(absl::Milliseconds(1));
    if (::write(to[1], &i, sizeof i) != sizeof i) Die("the gateway is gone");
    const Times times = hear();
    build.Add(times.built - times.begun);
    in_force.Add(times.in_force - times.begun);
    std::vector<pollfd> waiting;
    for (const auto& connection : idle[static_cast<size_t>(i)]) waiting.push_back({connection->fd(), POLLIN, 0});
    while (!waiting.empty() && ::poll(waiting.data(), waiting.size(), 10'000) > 0) {
      std::erase_if(waiting, [](const pollfd& p) { return p.revents != 0; });
    }
    if (!waiting.empty()) Die("an idle connection of a withdrawn authority was not ended in ten seconds");
    sweep.Add(Instant::Now() - times.in_force);
    withdrawn.Stop();
    for (const Asker::Answer& answer : withdrawn.answers) accepted += answer.sent > times.in_force && answer.status == 200;
    for (const Asker::Answer& answer : withdrawn.answers) {
      if (answer.status == 200 || answer.answered < times.begun) continue;
      refusal.Add(std::max(answer.answered - times.in_force, absl::ZeroDuration()));
      break;
    }
  }
  int64_t lost = 0, answered = 0;
  for (auto& asker : trusted) {
    asker->Stop();
    for (const Asker::Answer& answer : asker->answers) {
      latency.Add(answer.answered - answer.sent);
      ++answered;
      lost += answer.status != 200;
    }
  }
  int64_t connections_lost = 0;
  for (size_t a = static_cast<size_t>(changes); a < idle.size(); ++a) {
    for (auto& connection : idle[a]) connections_lost += connection->Ask() != 200;
  }
  std::printf("{\"row\":\"trust-change\",\"connections\":%d,\"stores\":%d,\"changes\":%d,\"in_force_us\":%s,\"of_it_build_us\":%s,"
              "\"first_refusal_us\":%s,\"sweep_us\":%s,\"accepted_after\":%d,\"trusted_answers\":%d,\"trusted_answer_us\":%s,"
              "\"trusted_lost\":%d,\"trusted_connections_lost\":%d}\n",
              options.connections, options.stores, changes, in_force.Json().c_str(), build.Json().c_str(), refusal.Json().c_str(),
              sweep.Json().c_str(), static_cast<int>(accepted), static_cast<int>(answered), latency.Json().c_str(),
              static_cast<int>(lost), static_cast<int>(connections_lost));
  ::close(to[1]);
  ::waitpid(child, nullptr, 0);
  return accepted == 0 && lost == 0 && connections_lost == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) {
  gatehouse::bench::Options options;
  const std::pair<absl::string_view, int*> flags[] = {{"--connections", &options.connections},
                                                      {"--stores", &options.stores},
                                                      {"--changes", &options.changes},
                                                      {"--workers", &options.workers}};
  for (int i = 1; i < argc; i += 2) {
    const auto* flag = std::find_if(std::begin(flags), std::end(flags), [&](const auto& f) { return f.first == argv[i]; });
    if (flag == std::end(flags) || i + 1 == argc || !absl::SimpleAtoi(argv[i + 1], flag->second) || *flag->second < 1) {
      std::fprintf(stderr, "usage: bench_trust [--connections N] [--stores N] [--changes N] [--workers N]\n");
      return 2;
    }
  }
  if (options.stores < 2 || options.connections < options.stores) {
    std::fprintf(stderr, "bench_trust: two stores at least, and a connection for each\n");
    return 2;
  }
  return gatehouse::bench::Run(options);
}
