// bench_crl_swap: what a gateway's clients feel while a long revocation list on its disk takes the place of another.
//
//   bench_crl_swap [--entries N] [--swaps N] [--seconds N]
//
// A gateway with one worker in a process of its own, a scheme that checks revocation OFFLINE, and a watched list. Some
// clients of this process ask on live connections, one makes new ones; each a thousand times a second at most. Windows of
// so many seconds in turn: nothing happens; a list that newly names one client is renamed in the old one's place.
//
// Prints one JSON object: from the rename until the named client was first refused, and until its idle connection was
// ended; answers of the others, of either kind of window; the peak of the gateway's memory beyond what it held and the
// DER, in octets an entry; what it held more at the end than after the first list. Exit status 1 when a named client was
// let in after the list was in force, or another was not.
#include <poll.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/names.h"
#include "tests/bench/big_list.h"
#include "tests/bench/gateway_process.h"
#include "tests/bench/tls_client.h"

namespace gatehouse::bench {
namespace {

using loop::Instant;

constexpr absl::Duration kPause = absl::Milliseconds(1);
constexpr absl::Duration kPatience = absl::Seconds(20);

struct Options {
  int entries = 1'000'000;
  int swaps = 5;
  int seconds = 4;
};

struct Folder {
  Folder() {
    char pattern[] = "/tmp/gatehouse-bench-XXXXXX";
    if (::mkdtemp(pattern) == nullptr) Die("no temporary directory");
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string At(absl::string_view name) const { return absl::StrCat(path, "/", name); }
  std::string path;
};

void Configure(const Authority& authority, const std::string& list, v1::ConfigSet* set) {
  v1::TrustStore& store = *set->add_trust_stores();
  store.set_name("store");
  store.add_anchors()->set_pem(authority.certificate->ToPem());
  store.add_crl_paths(list);
  v1::Scheme& scheme = *set->add_schemes();
  scheme.set_name("scheme");
  scheme.mutable_client_certificate()->set_trust_store("store");
  scheme.mutable_client_certificate()->mutable_revocation()->set_mode(v1::Revocation::OFFLINE);
  set->mutable_routes(0)->mutable_require()->add_any_of("scheme");
}

struct Window {
  Instant begin, end;
  bool Holds(const Asker::Answer& answer) const { return begin < answer.answered && answer.sent < end; }
};

// What one swap told.
struct Swap {
  absl::Duration refused, cut;
  size_t grown = 0;  // the peak, beyond what was held before
  int accepted_after = 0;
};

// `asking` and `idle` are the named client's.
Swap Measure(const GatewayProcess& gateway, const World& world, const certs::CertificateRef& named, const std::string& next,
             const std::string& list, Asker& asking, const TlsClient& idle) {
  Swap swap;
  ForgetPeak(gateway.pid());
  const size_t before = MemoryOf(gateway.pid(), "VmRSS");
  const Instant begin = Instant::Now();
  std::filesystem::rename(next, list);
  pollfd waiting{idle.fd(), POLLIN, 0};
  if (::poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))) != 1) {
    Die("the named client's idle connection was not ended");
  }
  const Instant cut = Instant::Now();
  swap.cut = cut - begin;
  while (asking.refused() == 0) {
    if (Instant::Now() - begin > kPatience) Die("the named client was not refused");
    absl::SleepFor(kPause);
  }
  for (int i = 0; i < 3; ++i) swap.accepted_after += TlsClient(world, named->x509()).Ask() == 200;
  asking.Stop();
  Instant in_force = cut;
  for (const Asker::Answer& answer : asking.answers()) {
    if (answer.status == 200) continue;
    if (answer.answered < begin) Die("a client was refused before it was named");
    swap.refused = answer.answered - begin;
    in_force = std::min(in_force, answer.answered);
    break;
  }
  for (const Asker::Answer& answer : asking.answers()) {
    swap.accepted_after += answer.sent > in_force && answer.status == 200;
  }
  const size_t peak = MemoryOf(gateway.pid(), "VmHWM");
  swap.grown = peak - std::min(peak, before);
  return swap;
}

int Run(const Options& options) {
  static const Folder folder;  // goes with the process, however that ends
  const std::string list = folder.At("ca.crl");
  const Authority authority = NewAuthority("CN=Authority");
  GatewayProcess gateway(1, [&](int, v1::ConfigSet* set) { Configure(authority, list, set); });

  World world;
  std::vector<certs::CertificateRef> named;
  BigList big;
  big.entries = static_cast<size_t>(options.entries);
  big.issuer_der = std::string(certs::NameDer(X509_get_subject_name(authority.certificate->x509())));
  size_t der = 0;
  const auto next = [&](int i) { return folder.At(absl::StrCat("next", i)); };
  for (int i = 0; i <= options.swaps; ++i) {
    big.seed = static_cast<uint64_t>(i + 1);
    const std::string bytes = MintBigList(big, authority.key.get());
    der = bytes.size();
    std::ofstream(next(i), std::ios::binary) << bytes;
    named.push_back(LeafOf(authority, absl::StrCat("named ", i), world.key.get()));
    big.further.push_back(certs::SerialOf(*named.back()));
  }
  std::filesystem::rename(next(0), list);
  world.port = gateway.Order(GatewayProcess::kFirst).port;
  const size_t held = MemoryOf(gateway.pid(), "VmRSS");

  Asker::Terms terms;
  terms.pause = kPause;
  std::vector<std::unique_ptr<Asker>> askers;
  for (int i = 0; i < 2; ++i) {
    askers.push_back(
        std::make_unique<Asker>(world, LeafOf(authority, absl::StrCat("asks ", i), world.key.get()), terms));
  }
  Asker::Terms anew = terms;
  anew.reconnect = true;
  Asker connecting(world, LeafOf(authority, "connects", world.key.get()), anew);

  std::vector<Window> quiet, swapping;
  Sample refused, cut;
  size_t grown = 0;
  int accepted_after = 0;
  for (int i = 0; i < options.swaps; ++i) {
    const certs::CertificateRef& client = named[static_cast<size_t>(i)];
    TlsClient idle(world, client->x509());
    Asker asking(world, client, terms);
    if (idle.Ask() != 200) Die("a client that is not named was not let in");
    Instant begin = Instant::Now();
    absl::SleepFor(absl::Seconds(options.seconds));
    quiet.push_back({begin, Instant::Now()});
    begin = Instant::Now();
    const Swap swap = Measure(gateway, world, client, next(i + 1), list, asking, idle);
    absl::SleepFor(absl::Seconds(options.seconds) - (Instant::Now() - begin));
    swapping.push_back({begin, Instant::Now()});
    refused.Add(swap.refused);
    cut.Add(swap.cut);
    grown = std::max(grown, swap.grown);
    accepted_after += swap.accepted_after;
  }
  const size_t held_last = MemoryOf(gateway.pid(), "VmRSS");
  for (auto& asker : askers) asker->Stop();
  connecting.Stop();

  int lost = 0;
  Sample answers[2], connects[2];
  const auto count = [&](const Asker& asker, Sample (&samples)[2]) {
    for (const Asker::Answer& answer : asker.answers()) {
      lost += answer.status != 200;
      const auto in = [&](const std::vector<Window>& windows) {
        return std::any_of(windows.begin(), windows.end(), [&](const Window& w) { return w.Holds(answer); });
      };
      if (in(quiet)) samples[0].Add(answer.answered - answer.sent);
      if (in(swapping)) samples[1].Add(answer.answered - answer.sent);
    }
  };
  for (const auto& asker : askers) count(*asker, answers);
  count(connecting, connects);
  const double n = options.entries;
  std::printf("{\"row\":\"crl-swap\",\"entries\":%d,\"der_bytes\":%d,\"swaps\":%d,\"refused_us\":%s,\"idle_cut_us\":%s,"
              "\"accepted_after\":%d,\"others_lost\":%d,\"answers\":%d,\"answer_us\":%s,\"answer_quiet_us\":%s,"
              "\"connections\":%d,\"connection_us\":%s,\"connection_quiet_us\":%s,\"peak_beyond_der_bytes_an_entry\":%.1f,"
              "\"held_more_bytes_an_entry\":%.1f}\n",
              options.entries, static_cast<int>(der), options.swaps, refused.Json().c_str(), cut.Json().c_str(),
              accepted_after, lost, static_cast<int>(answers[1].values.size()), answers[1].Json().c_str(),
              answers[0].Json().c_str(), static_cast<int>(connects[1].values.size()), connects[1].Json().c_str(),
              connects[0].Json().c_str(), (static_cast<double>(grown) - static_cast<double>(der)) / n,
              (static_cast<double>(held_last) - static_cast<double>(held)) / n);
  return accepted_after == 0 && lost == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) {
  gatehouse::bench::Options options;
  const std::pair<absl::string_view, int*> flags[] = {
      {"--entries", &options.entries}, {"--swaps", &options.swaps}, {"--seconds", &options.seconds}};
  for (int i = 1; i < argc; i += 2) {
    const auto* flag = std::find_if(std::begin(flags), std::end(flags), [&](const auto& f) { return f.first == argv[i]; });
    if (flag == std::end(flags) || i + 1 == argc || !absl::SimpleAtoi(argv[i + 1], flag->second) || *flag->second < 1) {
      std::fprintf(stderr, "usage: bench_crl_swap [--entries N] [--swaps N] [--seconds N]\n");
      return 2;
    }
  }
  return gatehouse::bench::Run(options);
}
