#include "gateway/credentials/weak_hash.h"

#include <openssl/evp.h>

#include <array>
#include <initializer_list>
#include <memory>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace gatehouse::credentials {
namespace {

using Md5Digest = std::array<uint8_t, 16>;

absl::string_view ViewOf(const Md5Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::optional<Md5Digest> Md5(std::initializer_list<absl::string_view> parts) {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_md5(), nullptr) != 1) return std::nullopt;
  for (absl::string_view part : parts) {
    if (EVP_DigestUpdate(context.get(), part.data(), part.size()) != 1) return std::nullopt;
  }
  Md5Digest digest;
  if (EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) return std::nullopt;
  return digest;
}

// crypt(3)'s base 64: least significant six bits first.
void AppendCrypt64(uint32_t bits, int characters, std::string* out) {
  constexpr char kAlphabet[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  for (; characters > 0; --characters, bits >>= 6) out->push_back(kAlphabet[bits & 63]);
}

}  // namespace

std::string Apr1Hash(absl::string_view salt, absl::string_view password) {
  std::optional<Md5Digest> digest = Md5({password, salt, password});
  if (!digest) return "";
  // As many octets of that as the password has, then for each bit of its length NUL or its first octet.
  std::string tail;
  for (size_t left = password.size(); left > 0; left -= std::min(left, digest->size())) {
    absl::StrAppend(&tail, ViewOf(*digest).substr(0, left));
  }
  for (size_t bits = password.size(); bits != 0; bits >>= 1) {
    tail.push_back((bits & 1) != 0 ? '\0' : password[0]);
  }
  digest = Md5({password, "$apr1$", salt, tail});
  for (int round = 0; digest && round < 1000; ++round) {
    const Md5Digest before = *digest;
    const bool odd = (round & 1) != 0;
    digest = Md5({odd ? password : ViewOf(before), round % 3 != 0 ? salt : absl::string_view(),
                  round % 7 != 0 ? password : absl::string_view(), odd ? ViewOf(before) : password});
  }
  if (!digest) return "";
  std::string out = absl::StrCat("$apr1$", salt, "$");
  const auto three = [&](int a, int b, int c) {
    const Md5Digest& d = *digest;
    AppendCrypt64(static_cast<uint32_t>(d[a]) << 16 | static_cast<uint32_t>(d[b]) << 8 | d[c], 4, &out);
  };
  three(0, 6, 12);
  three(1, 7, 13);
  three(2, 8, 14);
  three(3, 9, 15);
  three(4, 10, 5);
  AppendCrypt64((*digest)[11], 2, &out);
  return out;
}

std::string ShaHash(absl::string_view password) {
  uint8_t digest[20];
  if (EVP_Digest(password.data(), password.size(), digest, nullptr, EVP_sha1(), nullptr) != 1) return "";
  return absl::StrCat("{SHA}", absl::Base64Escape({reinterpret_cast<const char*>(digest), sizeof digest}));
}

}  // namespace gatehouse::credentials
