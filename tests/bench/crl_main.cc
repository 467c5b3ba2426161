// bench_crl: what a long revocation list costs to load, to hold and to ask.
//
//   bench_crl [ENTRIES]        a million unless told otherwise
//
// Mints a list of random 16-octet serial numbers, half of them with a reason, signed with P-256; then prints the size of
// its DER, how long reading takes, how much memory the process took at its peak and holds afterwards beyond the DER, for
// each entry, and the time of a look-up. OpenSSL's own reader is measured beside it.
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/mint.h"

namespace gatehouse::bench {
namespace {

// The processor's time: another process beside this one does not count.
double Now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// A line of /proc/self/status, in octets.
size_t Memory(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name + ":", 0) == 0) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  }
  return 0;
}
// Lets VmHWM begin again at what is held now.
void ForgetPeak() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

std::string Element(char tag, const std::string& content) {
  std::string out(1, tag);
  const size_t n = content.size();
  if (n < 0x80) {
    out += static_cast<char>(n);
  } else {
    std::string length;
    for (size_t rest = n; rest > 0; rest >>= 8) length.insert(0, 1, static_cast<char>(rest & 0xff));
    out += static_cast<char>(0x80 | length.size());
    out += length;
  }
  return out + content;
}

std::string SerialAt(std::mt19937_64& random) {
  std::string serial(16, '\0');
  for (size_t i = 0; i < 16; i += 8) {
    const uint64_t bits = random();
    for (size_t k = 0; k < 8; ++k) serial[i + k] = static_cast<char>(bits >> (8 * k) & 0xff);
  }
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);
  return serial;
}

std::string MintList(size_t entries, EVP_PKEY* key) {
  std::string list;
  list.reserve(entries * 46);
  std::mt19937_64 random(1);
  for (size_t i = 0; i < entries; ++i) {
    std::string entry = Element(0x02, SerialAt(random)) + Element(0x17, "260101000000Z");
    if (i % 2 == 0) {
      entry += Element(0x30, Element(0x30, Element(0x06, "\x55\x1d\x15") + Element(0x04, "\x0a\x01\x01")));
    }
    list += Element(0x30, entry);
  }
  const std::string algorithm = Element(0x30, Element(0x06, "\x2a\x86\x48\xce\x3d\x04\x03\x02"));
  const std::string issuer = Element(0x30, Element(0x31, Element(0x30, Element(0x06, "\x55\x04\x03") + Element(0x0c, "Root"))));
  const std::string tbs =
      Element(0x30, Element(0x02, "\x01") + algorithm + issuer + Element(0x17, "260101000000Z") +
                        Element(0x17, "270101000000Z") + Element(0x30, list));
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  size_t size = 256;
  std::string signature(size, '\0');
  EVP_DigestSignInit(ctx, nullptr, EVP_sha256(), nullptr, key);
  EVP_DigestSign(ctx, reinterpret_cast<unsigned char*>(signature.data()), &size,
                 reinterpret_cast<const unsigned char*>(tbs.data()), tbs.size());
  EVP_MD_CTX_free(ctx);
  signature.resize(size);
  return Element(0x30, tbs + algorithm + Element(0x03, std::string(1, '\0') + signature));
}

int Run(size_t entries) {
  UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
  std::string der = MintList(entries, key.get());
  const double n = static_cast<double>(entries);
  std::printf("entries %zu, DER %.1f MB (%.1f B an entry)\n", entries, static_cast<double>(der.size()) / 1e6,
              static_cast<double>(der.size()) / n);

  std::string copy = der;
  ForgetPeak();
  size_t before = Memory("VmRSS");
  double start = Now();
  absl::StatusOr<certs::CrlRef> read = certs::Crl::FromDer(std::move(copy));
  const double load = (Now() - start);
  if (!read.ok()) {
    std::fprintf(stderr, "%s\n", std::string(read.status().message()).c_str());
    return 1;
  }
  const size_t peak = Memory("VmHWM");
  malloc_trim(0);
  std::printf("load %.3f s, memory beyond the DER: peak %.1f B an entry, held %.1f B an entry\n", load,
              static_cast<double>(peak - before) / n, static_cast<double>(Memory("VmRSS") - before) / n);

  const certs::Crl& crl = **read;
  start = Now();
  if (!crl.VerifySignature(key.get(), {}).ok()) return 1;
  std::printf("signature %.1f us\n", (Now() - start) * 1e6);

  // Asked in another order than listed, from one block: what is measured is the look-up.
  const size_t asked = std::min<size_t>(entries, 500'000);
  std::vector<std::string> serials;
  std::mt19937_64 listed(1), absent(2), choice(3);
  for (size_t i = 0; i < entries; ++i) serials.push_back(SerialAt(listed));
  std::shuffle(serials.begin(), serials.end(), choice);
  std::string block;
  for (size_t i = 0; i < asked; ++i) block += serials[i];
  for (size_t i = 0; i < asked; ++i) block += SerialAt(absent);
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

  ForgetPeak();
  before = Memory("VmRSS");
  start = Now();
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  UniqueCrl theirs(d2i_X509_CRL(nullptr, &p, static_cast<long>(der.size())));
  std::printf("OpenSSL: load %.3f s, peak %.1f B an entry\n", (Now() - start),
              static_cast<double>(Memory("VmHWM") - before) / n);
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
