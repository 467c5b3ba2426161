#include "gateway/base/digest.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace gatehouse {
namespace {

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "fatal: %s failed\n", what);
  std::abort();
}

const EVP_MD* Fetched(const char* name) {
  const EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  if (md == nullptr) Die("EVP_MD_fetch");
  return md;
}

void Digest(const EVP_MD* md, absl::string_view bytes, uint8_t* out) {
  struct Free {
    void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
  };
  thread_local std::unique_ptr<EVP_MD_CTX, Free> ctx(EVP_MD_CTX_new());
  if (EVP_DigestInit_ex(ctx.get(), md, nullptr) != 1 ||
      EVP_DigestUpdate(ctx.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(ctx.get(), out, nullptr) != 1) {
    Die("EVP_Digest");
  }
}

}  // namespace

Sha256Digest Sha256(absl::string_view bytes) {
  static const EVP_MD* const md = Fetched("SHA256");
  Sha256Digest out;
  Digest(md, bytes, out.data());
  return out;
}

std::array<uint8_t, 20> Sha1(absl::string_view bytes) {
  static const EVP_MD* const md = Fetched("SHA1");
  std::array<uint8_t, 20> out;
  Digest(md, bytes, out.data());
  return out;
}

Sha256Digest HmacSha256(absl::string_view key, absl::string_view bytes) {
  // RFC 2104 over the cached digest: OpenSSL 3.0's HMAC() fetches its MAC and digest again at every call.
  std::string block(64, '\0');
  if (key.size() > 64) {
    Sha256Digest k = Sha256(key);
    block.replace(0, k.size(), reinterpret_cast<const char*>(k.data()), k.size());
  } else {
    block.replace(0, key.size(), key.data(), key.size());
  }
  std::string inner, outer;
  inner.reserve(64 + bytes.size());
  for (char c : block) inner.push_back(static_cast<char>(c ^ 0x36));
  inner.append(bytes.data(), bytes.size());
  Sha256Digest mid = Sha256(inner);
  for (char c : block) outer.push_back(static_cast<char>(c ^ 0x5c));
  outer.append(reinterpret_cast<const char*>(mid.data()), mid.size());
  Sha256Digest out = Sha256(outer);
  OPENSSL_cleanse(block.data(), block.size());
  OPENSSL_cleanse(inner.data(), inner.size());
  OPENSSL_cleanse(outer.data(), outer.size());
  return out;
}

std::string RandomBytes(size_t n) {
  std::string out(n, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(n)) != 1) Die("RAND_bytes");
  return out;
}

std::string HexLower(absl::string_view bytes) { return absl::BytesToHexString(bytes); }
std::string HexUpper(absl::string_view bytes) { return absl::AsciiStrToUpper(absl::BytesToHexString(bytes)); }

}  // namespace gatehouse
