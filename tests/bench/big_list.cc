#include "tests/bench/big_list.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace gatehouse::bench {
namespace {

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

std::string UtcTime(absl::Time time) {
  return Element(0x17, absl::FormatTime("%y%m%d%H%M%SZ", time, absl::UTCTimeZone()));
}

}  // namespace

std::string NextSerial(std::mt19937_64& random) {
  std::string serial(16, '\0');
  for (size_t i = 0; i < 16; i += 8) {
    const uint64_t bits = random();
    for (size_t k = 0; k < 8; ++k) serial[i + k] = static_cast<char>(bits >> (8 * k) & 0xff);
  }
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);
  return serial;
}

std::string MintBigList(const BigList& list, EVP_PKEY* key) {
  const absl::Time made =
      list.this_update == absl::UnixEpoch() ? absl::Now() - absl::Hours(1) : list.this_update;
  const std::string revoked = UtcTime(made);
  std::string entries;
  entries.reserve(list.entries * 46);
  for (const std::string& serial : list.further) entries += Element(0x30, Element(0x02, serial) + revoked);
  const std::string reason = Element(0x30, Element(0x30, Element(0x06, "\x55\x1d\x15") + Element(0x04, "\x0a\x01\x01")));
  std::mt19937_64 random(list.seed);
  for (size_t i = 0; i < list.entries; ++i) {
    std::string entry = Element(0x02, NextSerial(random)) + revoked;
    if (i % 2 == 0) entry += reason;
    entries += Element(0x30, entry);
  }
  const std::string algorithm = Element(0x30, Element(0x06, "\x2a\x86\x48\xce\x3d\x04\x03\x02"));
  const std::string issuer =
      !list.issuer_der.empty()
          ? list.issuer_der
          : Element(0x30, Element(0x31, Element(0x30, Element(0x06, "\x55\x04\x03") + Element(0x0c, "Root"))));
  const std::string tbs = Element(0x30, Element(0x02, "\x01") + algorithm + issuer + UtcTime(made) +
                                            UtcTime(made + absl::Hours(24)) + Element(0x30, entries));
  const std::unique_ptr<EVP_MD_CTX, OpenSslDeleter<EVP_MD_CTX_free>> ctx(EVP_MD_CTX_new());
  size_t size = 256;
  std::string signature(size, '\0');
  EVP_DigestSignInit(ctx.get(), nullptr, EVP_sha256(), nullptr, key);
  EVP_DigestSign(ctx.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                 reinterpret_cast<const unsigned char*>(tbs.data()), tbs.size());
  signature.resize(size);
  return Element(0x30, tbs + algorithm + Element(0x03, std::string(1, '\0') + signature));
}

size_t MemoryOf(pid_t pid, const std::string& name) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name + ":", 0) == 0) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  }
  return 0;
}

void ForgetPeak(pid_t pid) { std::ofstream(absl::StrCat("/proc/", pid, "/clear_refs")) << "5"; }

}  // namespace gatehouse::bench
