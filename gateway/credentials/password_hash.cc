#include "gateway/credentials/password_hash.h"

#include <argon2.h>
#include <crypt.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/secret.h"
#include "gateway/base/status.h"
#include "gateway/credentials/base64.h"
#include "gateway/credentials/weak_hash.h"

namespace gatehouse::credentials {
namespace {

constexpr absl::string_view kCryptAlphabet =
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

absl::Status Bad(absl::string_view kind, absl::string_view cause) {
  return absl::InvalidArgumentError(absl::StrCat(kind, " hash: ", cause));
}

bool IsCrypt64(absl::string_view text) {
  return text.find_first_not_of(kCryptAlphabet) == absl::string_view::npos;
}

// A plain decimal number: no sign, no leading zero.
std::optional<uint32_t> Number(absl::string_view text) {
  uint32_t value = 0;
  if (text.empty() || text.find_first_not_of("0123456789") != absl::string_view::npos ||
      (text.size() > 1 && text[0] == '0') || !absl::SimpleAtoi(text, &value)) {
    return std::nullopt;
  }
  return value;
}

struct Argon2Hash {
  HashCost cost;
  std::string salt;
  std::string tag;
};

absl::Status CheckArgon2Cost(uint64_t passes, uint64_t memory_bytes, uint64_t lanes) {
  if (lanes < 1 || lanes > kMaxArgon2Lanes) {
    return Bad("argon2id", absl::StrCat("lanes (p) must be 1 to ", kMaxArgon2Lanes));
  }
  if (passes < 1 || passes > kMaxArgon2Passes) {
    return Bad("argon2id", absl::StrCat("passes (t) must be 1 to ", kMaxArgon2Passes));
  }
  if (memory_bytes < 8 * 1024 * lanes || memory_bytes > kMaxHashMemory) {
    return Bad("argon2id",
               absl::StrCat("memory (m) must be 8 KiB a lane to ", kMaxHashMemory >> 20, " MiB"));
  }
  if (passes * memory_bytes > kMaxArgon2Work) {
    return Bad("argon2id",
               absl::StrCat("memory times passes must be at most ", kMaxArgon2Work >> 20, " MiB"));
  }
  return absl::OkStatus();
}

// $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$TAG
absl::StatusOr<Argon2Hash> ParseArgon2(absl::string_view mcf) {
  const std::vector<absl::string_view> parts = absl::StrSplit(mcf, '$');
  if (parts.size() != 6) return Bad("argon2id", "must have version, parameters, salt and tag");
  if (parts[2] != "v=19") return Bad("argon2id", "version must be v=19");
  const std::vector<absl::string_view> parameters = absl::StrSplit(parts[3], ',');
  absl::string_view m, t, p;
  if (parameters.size() == 3) {
    m = parameters[0];
    t = parameters[1];
    p = parameters[2];
  }
  if (!absl::ConsumePrefix(&m, "m=") || !absl::ConsumePrefix(&t, "t=") ||
      !absl::ConsumePrefix(&p, "p=") || !Number(m) || !Number(t) || !Number(p)) {
    return Bad("argon2id", "parameters must be m=<KiB>,t=<passes>,p=<lanes>");
  }
  Argon2Hash hash;
  hash.cost = {HashKind::kArgon2id, *Number(t), uint64_t{*Number(m)} * 1024, *Number(p)};
  GH_RETURN_IF_ERROR(CheckArgon2Cost(hash.cost.cost, hash.cost.memory_bytes, hash.cost.lanes));
  if (!DecodeBase64(parts[4], Base64Padding::kForbidden, &hash.salt) || hash.salt.size() < 8 ||
      hash.salt.size() > 64) {
    return Bad("argon2id", "salt must be 8 to 64 octets in base64 without padding");
  }
  if (!DecodeBase64(parts[5], Base64Padding::kForbidden, &hash.tag) || hash.tag.size() < 16 ||
      hash.tag.size() > 64) {
    return Bad("argon2id", "tag must be 16 to 64 octets in base64 without padding");
  }
  return hash;
}

// $2b$NN$, 22 characters of salt, 31 of hash
absl::StatusOr<HashCost> ParseBcrypt(absl::string_view mcf) {
  if (mcf.size() != 60 || mcf[6] != '$' || !IsCrypt64(mcf.substr(7))) {
    return Bad("bcrypt", "must be $2b$NN$ and 53 characters of ./0-9A-Za-z");
  }
  uint32_t cost = 0;
  if (mcf.substr(4, 2).find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(mcf.substr(4, 2), &cost) || cost < kMinBcryptCost ||
      cost > kMaxBcryptCost) {
    return Bad("bcrypt", absl::StrCat("cost must be ", kMinBcryptCost, " to ", kMaxBcryptCost));
  }
  return HashCost{HashKind::kBcrypt, cost, 0, 0};
}

// $y$jNr$SALT$HASH: flavour j (the default one), N and r one character each, no further parameters.
absl::StatusOr<HashCost> ParseYescrypt(absl::string_view mcf) {
  const std::vector<absl::string_view> parts = absl::StrSplit(mcf, '$');
  if (parts.size() != 5) return Bad("yescrypt", "must have parameters, salt and hash");
  if (parts[2].size() != 3 || parts[2][0] != 'j') {
    return Bad("yescrypt", "parameters must be of the default flavour (jNr)");
  }
  const size_t n = kCryptAlphabet.find(parts[2][1]);
  const size_t r = kCryptAlphabet.find(parts[2][2]);
  if (n > 29 || r > 47) return Bad("yescrypt", "N or r is out of bounds");
  const uint64_t memory = (uint64_t{128} << (n + 1)) * (r + 1);
  if (memory > kMaxHashMemory) {
    return Bad("yescrypt", absl::StrCat("memory must be at most ", kMaxHashMemory >> 20, " MiB"));
  }
  if (parts[3].empty() || parts[3].size() > 86 || !IsCrypt64(parts[3])) {
    return Bad("yescrypt", "salt must be 1 to 86 characters of ./0-9A-Za-z");
  }
  if (parts[4].size() != 43 || !IsCrypt64(parts[4])) {
    return Bad("yescrypt", "hash must be 43 characters of ./0-9A-Za-z");
  }
  return HashCost{HashKind::kYescrypt, static_cast<uint32_t>(n + 1), memory, 0};
}

// $6$[rounds=N$]SALT$HASH
absl::StatusOr<HashCost> ParseSha512(absl::string_view mcf) {
  std::vector<absl::string_view> parts = absl::StrSplit(mcf.substr(3), '$');
  uint32_t rounds = 5000;
  absl::string_view first = parts[0];
  if (absl::ConsumePrefix(&first, "rounds=")) {
    std::optional<uint32_t> n = Number(first);
    if (!n || *n < kMinSha512Rounds || *n > kMaxSha512Rounds) {
      return Bad("sha512-crypt",
                 absl::StrCat("rounds must be ", kMinSha512Rounds, " to ", kMaxSha512Rounds));
    }
    rounds = *n;
    parts.erase(parts.begin());
  }
  if (parts.size() != 2) return Bad("sha512-crypt", "must have salt and hash");
  if (parts[0].empty() || parts[0].size() > 16 || !IsCrypt64(parts[0])) {
    return Bad("sha512-crypt", "salt must be 1 to 16 characters of ./0-9A-Za-z");
  }
  if (parts[1].size() != 86 || !IsCrypt64(parts[1])) {
    return Bad("sha512-crypt", "hash must be 86 characters of ./0-9A-Za-z");
  }
  return HashCost{HashKind::kSha512Crypt, rounds, 0, 0};
}

// $apr1$SALT$HASH
absl::StatusOr<HashCost> ParseApr1(absl::string_view mcf) {
  const std::vector<absl::string_view> parts = absl::StrSplit(mcf.substr(6), '$');
  if (parts.size() != 2) return Bad("apr1", "must have salt and hash");
  if (parts[0].empty() || parts[0].size() > 8 || !IsCrypt64(parts[0])) {
    return Bad("apr1", "salt must be 1 to 8 characters of ./0-9A-Za-z");
  }
  if (parts[1].size() != 22 || !IsCrypt64(parts[1])) {
    return Bad("apr1", "hash must be 22 characters of ./0-9A-Za-z");
  }
  return HashCost{HashKind::kApr1, 1000, 0, 0};
}

// {SHA}BASE64
absl::StatusOr<HashCost> ParseSha(absl::string_view mcf) {
  std::string digest;
  if (!DecodeBase64(mcf.substr(5), Base64Padding::kRequired, &digest) || digest.size() != 20) {
    return Bad("{SHA}", "must be 20 octets in base64");
  }
  return HashCost{HashKind::kSha, 0, 0, 0};
}

// What people have in such files and what we do not take, told from what is no hash at all.
absl::string_view WhyUnknown(absl::string_view mcf) {
  const auto starts = [mcf](absl::string_view prefix) { return absl::StartsWith(mcf, prefix); };
  if (starts("$argon2i$") || starts("$argon2d$")) return "of argon2 only argon2id is taken";
  if (starts("$2x$") || starts("$2$")) return "bcrypt of a broken early kind ($2$, $2x$) is not taken";
  if (starts("$1$")) return "md5-crypt ($1$) is not taken";
  if (starts("$5$")) return "SHA-256-crypt ($5$) is not taken";
  if (starts("$7$") || starts("$gy$")) return "scrypt ($7$) and gost-yescrypt ($gy$) are not taken";
  if (absl::StartsWithIgnoreCase(mcf, "{SSHA") || absl::StartsWithIgnoreCase(mcf, "{SMD5") ||
      absl::StartsWithIgnoreCase(mcf, "{MD5")) {
    return "LDAP's {SSHA}, {SMD5} and {MD5} are not taken";
  }
  if (absl::StartsWithIgnoreCase(mcf, "{SHA}")) return "{SHA} must be written in capitals";
  if (starts("{")) return "of the kinds in braces only {SHA} is known";
  if (starts("!") || starts("*")) return "a locked account has no password";
  if (mcf.size() == 13 && IsCrypt64(mcf)) return "traditional DES crypt, or no hash at all, is not taken";
  if (!starts("$")) return "this is no password hash; a plaintext password is not taken";
  return "must be argon2id ($argon2id$), bcrypt ($2a$, $2b$, $2y$), yescrypt ($y$) or SHA-512-crypt ($6$)";
}

bool IsBcrypt(absl::string_view mcf) {
  return absl::StartsWith(mcf, "$2a$") || absl::StartsWith(mcf, "$2b$") ||
         absl::StartsWith(mcf, "$2y$");
}

// Empty when libargon2 refuses or memory is short.
std::string Argon2Tag(const HashCost& cost, absl::string_view salt, size_t tag_bytes,
                      absl::string_view password) {
  std::string tag(tag_bytes, '\0');
  // libargon2 takes non-const pointers; it clears the password only if a flag asks for it.
  std::string salt_copy(salt);
  const Secret phrase(password);
  argon2_context context{};
  context.out = reinterpret_cast<uint8_t*>(tag.data());
  context.outlen = static_cast<uint32_t>(tag.size());
  context.pwd = reinterpret_cast<uint8_t*>(const_cast<char*>(phrase.Reveal().data()));
  context.pwdlen = static_cast<uint32_t>(phrase.size());
  context.salt = reinterpret_cast<uint8_t*>(salt_copy.data());
  context.saltlen = static_cast<uint32_t>(salt_copy.size());
  context.t_cost = cost.cost;
  context.m_cost = static_cast<uint32_t>(cost.memory_bytes / 1024);
  context.lanes = cost.lanes;
  context.threads = 1;  // lanes of a stored hash must not become threads of ours
  context.version = ARGON2_VERSION_13;
  context.flags = ARGON2_DEFAULT_FLAGS;
  if (argon2id_ctx(&context) != ARGON2_OK) return "";
  return tag;
}

// Empty when libxcrypt refuses.
std::string Crypt(absl::string_view password, const std::string& setting) {
  struct Free {
    void operator()(crypt_data* data) const {
      OPENSSL_cleanse(data, sizeof(*data));
      std::free(data);
    }
  };
  // 32 KiB: on the heap.
  std::unique_ptr<crypt_data, Free> data(
      static_cast<crypt_data*>(std::calloc(1, sizeof(crypt_data))));
  if (data == nullptr) return "";
  const Secret phrase(password);
  // A std::string's bytes end in NUL, and Secret keeps one.
  const char* out =
      crypt_rn(phrase.Reveal().data(), setting.c_str(), data.get(), sizeof(crypt_data));
  return out == nullptr ? "" : std::string(out);
}

absl::Status CheckNewPassword(absl::string_view password) {
  if (password.empty()) return absl::InvalidArgumentError("password: must not be empty");
  if (password.size() > kMaxPasswordBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("password: must be at most ", kMaxPasswordBytes, " bytes"));
  }
  for (char c : password) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      return absl::InvalidArgumentError("password: must not contain control characters");
    }
  }
  if (!IsValidUtf8(password)) return absl::InvalidArgumentError("password: must be UTF-8");
  return absl::OkStatus();
}

HashCost Argon2Cost(const HashOptions& options) {
  return {HashKind::kArgon2id, options.argon2_passes, options.argon2_memory_bytes / 1024 * 1024,
          options.argon2_lanes};
}

absl::StatusOr<std::string> NewArgon2(absl::string_view password, const HashOptions& options) {
  const HashCost cost = Argon2Cost(options);
  const std::string salt = RandomBytes(16);
  const std::string tag = Argon2Tag(cost, salt, 32, password);
  if (tag.empty()) return absl::ResourceExhaustedError("argon2id: not enough memory");
  const auto encode = [](absl::string_view bytes) {
    std::string text = absl::Base64Escape(bytes);
    while (!text.empty() && text.back() == '=') text.pop_back();
    return text;
  };
  return absl::StrCat("$argon2id$v=19$m=", cost.memory_bytes / 1024, ",t=", cost.cost,
                      ",p=", cost.lanes, "$", encode(salt), "$", encode(tag));
}

absl::StatusOr<std::string> NewBcrypt(absl::string_view password, const HashOptions& options) {
  if (password.size() > kMaxBcryptPasswordBytes) {
    return absl::InvalidArgumentError(absl::StrCat("password: bcrypt reads only ",
                                                   kMaxBcryptPasswordBytes,
                                                   " bytes; choose a shorter one or argon2id"));
  }
  const std::string random = RandomBytes(16);
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (crypt_gensalt_rn("$2b$", options.bcrypt_cost, random.data(), static_cast<int>(random.size()),
                       setting, sizeof(setting)) == nullptr) {
    return absl::InternalError("bcrypt: no salt");
  }
  std::string mcf = Crypt(password, setting);
  if (!ParseHash(mcf).ok()) return absl::InternalError("bcrypt: the library refused");
  return mcf;
}

// A hash of a higher rank stands more guesses a second off than one of a lower rank, whatever their costs.
int RankOf(HashKind kind) {
  switch (kind) {
    case HashKind::kSha:
    case HashKind::kApr1:
      return 0;
    case HashKind::kSha512Crypt:
      return 1;
    case HashKind::kBcrypt:
      return 2;
    case HashKind::kYescrypt:
    case HashKind::kArgon2id:
      break;
  }
  return 3;
}

}  // namespace

absl::string_view HashKindName(HashKind kind) {
  switch (kind) {
    case HashKind::kArgon2id:
      return "argon2id";
    case HashKind::kBcrypt:
      return "bcrypt";
    case HashKind::kYescrypt:
      return "yescrypt";
    case HashKind::kSha512Crypt:
      return "sha512-crypt";
    case HashKind::kApr1:
      return "apr1";
    case HashKind::kSha:
      return "sha";
  }
  return "";
}

std::string CostText(const HashCost& cost) {
  const uint64_t kib = cost.memory_bytes / 1024;
  const std::string memory =
      kib % 1024 == 0 ? absl::StrCat(kib / 1024, " MiB") : absl::StrCat(kib, " KiB");
  switch (cost.kind) {
    case HashKind::kArgon2id:
      return absl::StrCat("m=", memory, ", t=", cost.cost, ", p=", cost.lanes);
    case HashKind::kBcrypt:
      return absl::StrCat("cost ", cost.cost);
    case HashKind::kYescrypt:
      return absl::StrCat("N=2^", cost.cost, ", ", memory);
    case HashKind::kSha512Crypt:
    case HashKind::kApr1:
      return absl::StrCat(cost.cost, " rounds");
    case HashKind::kSha:
      break;
  }
  return "unsalted";
}

absl::StatusOr<HashCost> ParseHash(absl::string_view mcf) {
  if (mcf.size() > 256) return absl::InvalidArgumentError("password hash: over 256 characters");
  if (absl::StartsWith(mcf, "$argon2id$")) {
    GH_ASSIGN_OR_RETURN(Argon2Hash hash, ParseArgon2(mcf));
    return hash.cost;
  }
  if (IsBcrypt(mcf)) return ParseBcrypt(mcf);
  if (absl::StartsWith(mcf, "$y$")) return ParseYescrypt(mcf);
  if (absl::StartsWith(mcf, "$6$")) return ParseSha512(mcf);
  if (absl::StartsWith(mcf, "$apr1$")) return ParseApr1(mcf);
  if (absl::StartsWith(mcf, "{SHA}")) return ParseSha(mcf);
  return absl::InvalidArgumentError(absl::StrCat("password hash: ", WhyUnknown(mcf)));
}

bool VerifyPassword(absl::string_view mcf, absl::string_view password) {
  // crypt(3) ends at a NUL: what follows it would not be checked.
  if (password.size() > kMaxPasswordBytes || absl::StrContains(password, '\0')) return false;
  absl::StatusOr<HashCost> cost = ParseHash(mcf);
  if (!cost.ok()) return false;
  if (cost->kind == HashKind::kArgon2id) {
    absl::StatusOr<Argon2Hash> hash = ParseArgon2(mcf);
    if (!hash.ok()) return false;
    const std::string tag = Argon2Tag(hash->cost, hash->salt, hash->tag.size(), password);
    return !tag.empty() && ConstantTimeEquals(tag, hash->tag);
  }
  std::string computed;
  switch (cost->kind) {
    case HashKind::kApr1:
      computed = Apr1Hash(mcf.substr(6, mcf.rfind('$') - 6), password);
      break;
    case HashKind::kSha:
      computed = ShaHash(password);
      break;
    default:
      computed = Crypt(password, std::string(mcf));
  }
  return !computed.empty() && ConstantTimeEquals(computed, mcf);
}

absl::Status CheckHashOptions(HashKind kind, const HashOptions& options) {
  switch (kind) {
    case HashKind::kArgon2id: {
      const HashCost cost = Argon2Cost(options);
      return CheckArgon2Cost(cost.cost, cost.memory_bytes, cost.lanes);
    }
    case HashKind::kBcrypt:
      if (options.bcrypt_cost < kMinBcryptCost || options.bcrypt_cost > kMaxBcryptCost) {
        return Bad("bcrypt", absl::StrCat("cost must be ", kMinBcryptCost, " to ", kMaxBcryptCost));
      }
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError("new passwords are hashed by argon2id or bcrypt");
  }
}

absl::StatusOr<std::string> HashPassword(HashKind kind, absl::string_view password,
                                         const HashOptions& options) {
  GH_RETURN_IF_ERROR(CheckHashOptions(kind, options));
  GH_RETURN_IF_ERROR(CheckNewPassword(password));
  return kind == HashKind::kBcrypt ? NewBcrypt(password, options) : NewArgon2(password, options);
}

bool IsWeaker(const HashCost& have, HashKind kind, const HashOptions& options) {
  if (have.kind != kind) return RankOf(have.kind) < RankOf(kind);
  if (kind == HashKind::kBcrypt) return have.cost < options.bcrypt_cost;
  const HashCost want = Argon2Cost(options);
  return have.memory_bytes < want.memory_bytes ||
         have.memory_bytes * have.cost < want.memory_bytes * want.cost;
}

}  // namespace gatehouse::credentials
