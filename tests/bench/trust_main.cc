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
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/bench/gateway_process.h"
#include "tests/bench/tls_client.h"

namespace gatehouse::bench {
namespace {

using loop::Instant;

struct Options {
  int connections = 10'000;
  int stores = 100;
  int changes = 50;
  int workers = 2;
};

// A store and a scheme for each authority at first; then an order withdraws the authority of that number.
void Configure(const std::vector<Authority>& authorities, const Authority& spare, int order, v1::ConfigSet* set) {
  if (order != GatewayProcess::kFirst) {
    set->mutable_trust_stores(order)->mutable_anchors(0)->set_pem(spare.certificate->ToPem());
    return;
  }
  for (size_t i = 0; i < authorities.size(); ++i) {
    v1::TrustStore& store = *set->add_trust_stores();
    store.set_name(absl::StrFormat("store%04d", i));
    store.add_anchors()->set_pem(authorities[i].certificate->ToPem());
    v1::Scheme& scheme = *set->add_schemes();
    scheme.set_name(absl::StrFormat("scheme%04d", i));
    scheme.mutable_client_certificate()->set_trust_store(store.name());
    set->mutable_routes(0)->mutable_require()->add_any_of(scheme.name());
  }
}

int Run(const Options& options) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::vector<Authority> authorities;
  for (int i = 0; i < options.stores; ++i) authorities.push_back(NewAuthority(absl::StrCat("CN=Authority ", i)));
  const Authority spare = NewAuthority("CN=Spare");

  GatewayProcess gateway(options.workers,
                         [&](int order, v1::ConfigSet* set) { Configure(authorities, spare, order, set); });
  World world;
  world.port = gateway.Order(GatewayProcess::kFirst).port;
  const auto leaf_of = [&](const Authority& a, const std::string& name) { return LeafOf(a, name, world.key.get()); };

  // Idle connections, each with a certificate of its own; the last authority is never withdrawn.
  std::vector<std::vector<std::unique_ptr<TlsClient>>> idle(authorities.size());
  std::atomic<size_t> next{0};
  std::vector<std::thread> openers;
  for (int t = 0; t < 4; ++t) {
    openers.emplace_back([&] {
      for (size_t a; (a = next++) < authorities.size();) {
        for (int i = 0; i < options.connections / options.stores; ++i) {
          certs::CertificateRef leaf = leaf_of(authorities[a], absl::StrCat("client ", a, " ", i));
          idle[a].push_back(std::make_unique<TlsClient>(world, leaf->x509()));
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
    while (withdrawn.asked() < 5) absl::SleepFor(absl::Milliseconds(1));
    const GatewayProcess::Times times = gateway.Order(i);
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
    for (const Asker::Answer& answer : withdrawn.answers()) accepted += answer.sent > times.in_force && answer.status == 200;
    for (const Asker::Answer& answer : withdrawn.answers()) {
      if (answer.status == 200 || answer.answered < times.begun) continue;
      refusal.Add(std::max(answer.answered - times.in_force, absl::ZeroDuration()));
      break;
    }
  }
  int64_t lost = 0, answered = 0;
  for (auto& asker : trusted) {
    asker->Stop();
    for (const Asker::Answer& answer : asker->answers()) {
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
