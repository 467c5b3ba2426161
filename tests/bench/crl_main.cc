// bench_crl: what a long revocation list costs to load, to hold and to ask.
//
//   bench_crl [ENTRIES]        a million unless told otherwise
//
// Mints a list of random 16-octet serial numbers, half of them with a reason, signed with P-256; then prints the size of
// its DER, how long reading takes, how much memory the process took at its peak and holds afterwards beyond the DER, for
// each entry, and the time of a look-up. OpenSSL's own reader is measured beside it.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/mint.h"
#include "tests/bench/big_list.h"

namespace gatehouse::bench {
namespace {

// The processor's time: another process beside this one does not count.
double Now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

int Run(size_t entries) {
  UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
  BigList big;
  big.entries = entries;
  std::string der = MintBigList(big, key.get());
  const double n = static_cast<double>(entries);
  std::printf("entries %zu, DER %.1f MB (%.1f B an entry)\n", entries, static_cast<double>(der.size()) / 1e6,
              static_cast<double>(der.size()) / n);

  std::string copy = der;
  malloc_trim(0);
  ForgetPeak(::getpid());
  size_t before = MemoryOf(::getpid(), "VmRSS");
  double start = Now();
  absl::StatusOr<certs::CrlRef> read = certs::Crl::FromDer(std::move(copy));
  const double load = (Now() - start);
  if (!read.ok()) {
    std::fprintf(stderr, "%s\n", std::string(read.status().message()).c_str());
    return 1;
  }
  const size_t peak = MemoryOf(::getpid(), "VmHWM");
  malloc_trim(0);
  std::printf("load %.3f s, memory beyond the DER: peak %.1f B an entry, held %.1f B an entry\n", load,
              static_cast<double>(peak - before) / n, static_cast<double>(MemoryOf(::getpid(), "VmRSS") - before) / n);

  const certs::Crl& crl = **read;
  start = Now();
  if (!crl.VerifySignature(key.get(), {}).ok()) return 1;
  std::printf("signature %.1f us\n", (Now() - start) * 1e6);

  // Asked in another order than listed, from one block: what is measured is the look-up.
  const size_t asked = std::min<size_t>(entries, 500'000);
  std::vector<std::string> serials;
  std::mt19937_64 listed(big.seed), absent(big.seed + 1), choice(3);
  for (size_t i = 0; i < entries; ++i) serials.push_back(NextSerial(listed));
  std::shuffle(serials.begin(), serials.end(), choice);
  std::string block;
  for (size_t i = 0; i < asked; ++i) block += serials[i];
  for (size_t i = 0; i < asked; ++i) block += NextSerial(absent);
  double seconds[2];
  size_t found = 0;
  for (size_t half = 0; half < 2; ++half) {
    start = Now();
    for (size_t i = half * asked; i < (half + 1) * asked; ++i) {
      found += crl.Find(crl.issuer_der(), absl::string_view(block).substr(i * 16, 16)).has_value();
    }
    seconds[half] = (Now() - start) / static_cast<double>(asked);
  }
  std::printf("look-up %.0f ns listed, %.0f ns not listed (%zu of %zu found)\n", seconds[0] * 1e9, seconds[1] * 1e9,
              found, asked);
  if (found != asked) return 1;

  malloc_trim(0);
  ForgetPeak(::getpid());
  before = MemoryOf(::getpid(), "VmRSS");
  start = Now();
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  UniqueCrl theirs(d2i_X509_CRL(nullptr, &p, static_cast<long>(der.size())));
  std::printf("OpenSSL: load %.3f s, peak %.1f B an entry\n", (Now() - start),
              static_cast<double>(MemoryOf(::getpid(), "VmHWM") - before) / n);
  return theirs == nullptr ? 1 : 0;
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) {
  size_t entries = 1'000'000;
  if (argc > 2 || (argc == 2 && (!absl::SimpleAtoi(argv[1], &entries) || entries == 0))) {
    std::fprintf(stderr, "usage: bench_crl [ENTRIES]\n");
    return 2;
  }
  return gatehouse::bench::Run(entries);
}
