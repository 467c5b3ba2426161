// bench_storm: what cold passwords cost, and what those feel who are verified already. A gateway in a process of its own,
// hashes of bcrypt; clients in this one.
//
//   bench_storm [--clients N] [--cost N] [--guessers N] [--seconds N] [--rounds N] [--workers N]
//
// First the hash alone, on this thread. Then N clients of one address, a user and a connection each, log in at once. Then, in
// turns, a verified user asks while nothing else happens, and while guessers of as many addresses send wrong passwords
// without pause.
//
// Prints one JSON object: CPU of a hash alone and of the gateway's whole process a login, handshakes included, and their
// ratio (1 would be nothing but the hash); logins a second; the verified user's answers in both conditions and the ratio of
// the 99th percentiles. Exit status 1 when a right password was refused.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "gateway/credentials/password_hash.h"
#include "tests/bench/gateway_process.h"
#include "tests/bench/process_cpu.h"
#include "tests/bench/tls_client.h"

namespace gatehouse::bench {
namespace {

using loop::Instant;

struct Options {
  int clients = 200;
  int cost = 10;
  int guessers = 32;
  int seconds = 3;
  int rounds = 3;
  int workers = 2;
};

constexpr char kPassword[] = "correct horse";

std::string UserName(int i) { return absl::StrFormat("user%05d", i); }
std::string Basic(const std::string& user, absl::string_view password) {
  return absl::StrCat("Basic ", absl::Base64Escape(absl::StrCat(user, ":", password)));
}

void Configure(int users, const std::string& hash, v1::ConfigSet* set) {
  v1::UserStore& store = *set->add_user_stores();
  store.set_name("staff");
  for (int i = 0; i < users; ++i) {
    v1::User& user = *store.add_users();
    user.set_name(UserName(i));
    user.add_password_hashes(hash);
  }
  v1::Scheme& scheme = *set->add_schemes();
  scheme.set_name("Basic");
  scheme.mutable_basic()->set_user_store("staff");
  // Guessers are to cost hashes for as long as it takes to measure.
  v1::PasswordThrottle& throttle = *scheme.mutable_basic()->mutable_throttle();
  throttle.set_address_free_users(500'000);
  throttle.set_address_lockout_users(1'000'000);
  set->mutable_routes(0)->mutable_require()->add_any_of("Basic");
}

double ThreadMicros() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e6 + static_cast<double>(used.tv_nsec) * 1e-3;
}

// CPU of one verification.
double HashMicros(const std::string& hash) {
  constexpr int kTimes = 20;
  const double begun = ThreadMicros();
  for (int i = 0; i < kTimes; ++i) {
    if (!credentials::VerifyPassword(hash, kPassword)) Die("the hash does not verify");
  }
  return (ThreadMicros() - begun) / kTimes;
}

struct Storm {
  double cpu_us = 0;  // of the gateway, a login
  absl::Duration took;
  int refused = 0;
};

Storm LogInAtOnce(const World& world, pid_t gateway, int clients) {
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  const double begun_us = ProcessMicros({gateway});
  const Instant begun = Instant::Now();
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&, i] {
      TlsClient client(world, nullptr);
      client.Authorize(Basic(UserName(i), kPassword));
      refused += client.Ask() != 200;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return {(ProcessMicros({gateway}) - begun_us) / clients, Instant::Now() - begun, refused};
}

// What a verified user sees for `time`; false: an answer was no 200.
bool Listen(TlsClient& client, absl::Duration time, Sample* sample) {
  const Instant end = Instant::Now() + time;
  while (Instant::Now() < end) {
    const Instant sent = Instant::Now();
    if (client.Ask() != 200) return false;
    sample->Add(Instant::Now() - sent);
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

double P99(Sample sample) {
  std::sort(sample.values.begin(), sample.values.end());
  return sample.values.empty() ? 0 : sample.values[sample.values.size() * 99 / 100];
}

int Run(const Options& options) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  credentials::HashOptions cost;
  cost.bcrypt_cost = static_cast<uint32_t>(options.cost);
  const std::string hash = *credentials::HashPassword(credentials::HashKind::kBcrypt, kPassword, cost);
  GatewayProcess gateway(options.workers, [&](int, v1::ConfigSet* set) { Configure(options.clients, hash, set); });
  World world;
  world.port = gateway.Order(GatewayProcess::kFirst).port;

  double hash_us = HashMicros(hash);
  const Storm storm = LogInAtOnce(world, gateway.pid(), options.clients);
  hash_us = (hash_us + HashMicros(hash)) / 2;

  TlsClient verified(world, nullptr);
  verified.Authorize(Basic(UserName(0), kPassword));
  if (verified.Ask() != 200) Die("a verified user is refused");
  Sample idle, under_storm;
  int64_t guesses = 0;
  bool good = storm.refused == 0;
  for (int round = 0; round < options.rounds; ++round) {
    good = Listen(verified, absl::Seconds(options.seconds), &idle) && good;
    std::atomic<bool> stop{false};
    std::atomic<int64_t> answered{0};
    std::vector<std::thread> guessers;
    for (int g = 0; g < options.guessers; ++g) {
      guessers.emplace_back([&, g] {
        TlsClient client(world, nullptr, absl::StrCat("127.0.", 1 + g / 250, ".", 1 + g % 250));
        for (int i = 0; !stop; ++i) {
          client.Authorize(Basic(absl::StrCat("nobody-", round, "-", g, "-", i), "Summer2026!"));
          if (client.Ask() == 0) return;
          ++answered;
        }
      });
    }
    while (answered < 2) absl::SleepFor(absl::Milliseconds(1));
    good = Listen(verified, absl::Seconds(options.seconds), &under_storm) && good;
    stop = true;
    for (std::thread& guesser : guessers) guesser.join();
    guesses += answered;
  }
  const double cores = std::max(1u, std::thread::hardware_concurrency());
  const double rate = options.clients / absl::ToDoubleSeconds(storm.took);
  std::printf("{\"row\":\"basic-storm\",\"clients\":%d,\"hash_us\":%.0f,\"login_cpu_us\":%.0f,\"ratio_to_hash\":%.3f,"
              "\"logins_per_s\":%.1f,\"logins_per_s_and_core\":%.1f,\"refused\":%d,\"guesses\":%d,\"verified_idle_us\":%s,"
              "\"verified_storm_us\":%s,\"p99_ratio\":%.2f}\n",
              options.clients, hash_us, storm.cpu_us, hash_us / storm.cpu_us, rate, rate / cores, storm.refused,
              static_cast<int>(guesses), idle.Json().c_str(), under_storm.Json().c_str(), P99(under_storm) / P99(idle));
  return good ? 0 : 1;
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) {
  gatehouse::bench::Options options;
  const std::pair<absl::string_view, int*> flags[] = {{"--clients", &options.clients},   {"--cost", &options.cost},
                                                      {"--guessers", &options.guessers}, {"--seconds", &options.seconds},
                                                      {"--rounds", &options.rounds},     {"--workers", &options.workers}};
  for (int i = 1; i < argc; i += 2) {
    const auto* flag = std::find_if(std::begin(flags), std::end(flags), [&](const auto& f) { return f.first == argv[i]; });
    if (flag == std::end(flags) || i + 1 == argc || !absl::SimpleAtoi(argv[i + 1], flag->second) || *flag->second < 1) {
      std::fprintf(stderr, "usage: bench_storm [--clients N] [--cost N] [--guessers N] [--seconds N] [--rounds N] [--workers N]\n");
      return 2;
    }
  }
  if (options.cost < 4 || options.cost > 15 || options.guessers > 60'000) {
    std::fprintf(stderr, "bench_storm: --cost is 4 to 15, --guessers at most 60000\n");
    return 2;
  }
  return gatehouse::bench::Run(options);
}
