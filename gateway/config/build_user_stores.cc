#include "gateway/config/build_user_stores.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/base/escape.h"
#include "gateway/config/build_draft.h"
#include "gateway/identity/claims.h"

namespace gatehouse::config {
namespace {

constexpr size_t kMaxNamed = 3;

Sha256Digest DigestOf(const std::string& octets) {
  Sha256Digest digest{};
  if (octets.size() == digest.size()) std::copy(octets.begin(), octets.end(), digest.begin());
  return digest;
}

credentials::User BuildUser(Draft& draft, const std::string& store, const v1::User& user) {
  credentials::User out;
  out.name = user.name();
  out.password_hashes.assign(user.password_hashes().begin(), user.password_hashes().end());
  out.disabled = user.disabled();
  const std::string path = absl::StrCat(store, ".", PathOf("users", user.name()));
  if (user.has_expire_time()) {
    const auto& time = user.expire_time();
    if (time.nanos() < 0 || time.nanos() > 999'999'999 || time.seconds() < -62'135'596'800 ||
        time.seconds() > 253'402'300'799) {
      draft.Violate(path + ".expire_time", "is not a time of the years 1 to 9999");
    }
    out.expires = absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  }
  for (int i = 0; i < user.claims_size(); ++i) {
    const v1::UserClaim& claim = user.claims(i);
    out.claims.push_back({claim.type(), claim.value()});
    if (identity::IsReservedClaimType(claim.type())) {
      draft.Violate(absl::StrCat(path, ".claims[", i, "].type"), "\"", EscapeText(claim.type()),
                    "\" is reserved to certificate schemes and to the user's name");
    }
  }
  for (const v1::RenewedHash& renewed : user.renewed()) {
    out.renewed.push_back({DigestOf(renewed.hash_sha256()), DigestOf(renewed.original_sha256())});
  }
  return out;
}

void CheckHashing(Draft& draft, const std::string& path, const v1::PasswordHashing& hashing) {
  if (!v1::PasswordHashing::Algorithm_IsValid(hashing.algorithm())) {
    draft.Violate(path + ".algorithm", "must be ARGON2ID or BCRYPT");
  }
  const auto bound = [&](const char* field, uint32_t value, uint32_t least, uint32_t most) {
    if (value == 0 || (value >= least && value <= most)) return true;
    draft.Violate(absl::StrCat(path, ".", field), "must be ", least, " to ", most);
    return false;
  };
  const bool memory = bound("argon2_memory_mib", hashing.argon2_memory_mib(), 8, credentials::kMaxHashMemory >> 20);
  const bool passes = bound("argon2_passes", hashing.argon2_passes(), 1, credentials::kMaxArgon2Passes);
  bound("argon2_lanes", hashing.argon2_lanes(), 1, credentials::kMaxArgon2Lanes);
  bound("bcrypt_cost", hashing.bcrypt_cost(), 10, credentials::kMaxBcryptCost);
  const credentials::HashOptions options = HashingOf(hashing).options;
  if (memory && passes && options.argon2_memory_bytes * options.argon2_passes > credentials::kMaxArgon2Work) {
    draft.Violate(path + ".argon2_passes", "memory times passes must be at most ", credentials::kMaxArgon2Work >> 20,
                  " MiB");
  }
}

void CheckRules(Draft& draft, const std::string& path, const v1::PasswordRules& rules) {
  using credentials::kMaxPasswordLength, credentials::kMinPasswordLength;
  if (rules.min_length() != 0 && (rules.min_length() < kMinPasswordLength || rules.min_length() > kMaxPasswordLength)) {
    draft.Violate(path + ".min_length", "must be ", kMinPasswordLength, " to ", kMaxPasswordLength);
  }
  if (rules.denied().size() > static_cast<int>(credentials::kMaxDeniedPasswords)) {
    draft.Violate(path + ".denied", "must be at most ", credentials::kMaxDeniedPasswords);
  }
  for (int i = 0; i < rules.denied_size(); ++i) {
    const std::string& word = rules.denied(i);
    if (word.empty() || word.size() > credentials::kMaxDeniedPasswordBytes || !IsValidUtf8(word)) {
      draft.Violate(absl::StrCat(path, ".denied[", i, "]"), "must be UTF-8 of 1 to ",
                    credentials::kMaxDeniedPasswordBytes, " bytes");
    }
  }
}

void WarnOfWeak(Draft& draft, const std::string& path, const v1::UserStore& message,
                const credentials::UserStore& store) {
  if (!message.allow_weak_hashes()) return;
  if (store.weak_users() == 0) {
    draft.Warn(path + ".allow_weak_hashes", "no user has a weak hash: take it back");
    return;
  }
  std::vector<std::string> names;
  for (const v1::User& user : message.users()) {
    const bool weak = std::any_of(user.password_hashes().begin(), user.password_hashes().end(), [](const std::string& hash) {
      const absl::StatusOr<credentials::HashCost> cost = credentials::ParseHash(hash);
      return cost.ok() && credentials::IsWeak(cost->kind);
    });
    if (weak) names.push_back(EscapeText(user.name()));
    if (names.size() > kMaxNamed) break;
  }
  if (names.size() > kMaxNamed) names.back() = "...";
  draft.Warn(path + ".users", store.weak_users(), store.weak_users() == 1 ? " user has a hash" : " users have hashes",
             " that a graphics card tries by the million (apr1, {SHA}): ", absl::StrJoin(names, ", "),
             "; set new passwords, or hashing.renew_on_login");
}

}  // namespace

credentials::PasswordHashing HashingOf(const v1::PasswordHashing& message) {
  credentials::PasswordHashing hashing;
  credentials::HashOptions& options = hashing.options;
  if (message.algorithm() == v1::PasswordHashing::BCRYPT) hashing.kind = credentials::HashKind::kBcrypt;
  if (message.argon2_memory_mib() != 0) options.argon2_memory_bytes = uint64_t{message.argon2_memory_mib()} << 20;
  if (message.argon2_passes() != 0) options.argon2_passes = message.argon2_passes();
  if (message.argon2_lanes() != 0) options.argon2_lanes = message.argon2_lanes();
  if (message.bcrypt_cost() != 0) options.bcrypt_cost = message.bcrypt_cost();
  hashing.renew_on_login = message.renew_on_login();
  return hashing;
}

credentials::PasswordRules RulesOf(const v1::PasswordRules& message) {
  credentials::PasswordRules rules;
  if (message.min_length() != 0) rules.min_length = message.min_length();
  rules.denied.assign(message.denied().begin(), message.denied().end());
  return rules;
}

void BuildUserStores(Draft& draft) {
  for (const v1::UserStore* store : draft.user_stores) {
    const std::string path = PathOf("userStores", store->name());
    if (draft.Unchanged(v1::USER_STORE, store->name())) {
      auto known = draft.previous->parts->user_stores.at(store->name());
      WarnOfWeak(draft, path, *store, *known);
      draft.parts->user_stores[store->name()] = std::move(known);
      continue;
    }
    const size_t before = draft.violations.size();
    CheckHashing(draft, path + ".hashing", store->hashing());
    CheckRules(draft, path + ".password_rules", store->password_rules());
    credentials::UserStoreInput input;
    input.name = store->name();
    input.hashing = HashingOf(store->hashing());
    input.allow_weak_hashes = store->allow_weak_hashes();
    input.users.reserve(static_cast<size_t>(store->users_size()));
    for (const v1::User& user : store->users()) input.users.push_back(BuildUser(draft, path, user));
    std::vector<credentials::UserStoreError> errors;
    std::shared_ptr<const credentials::UserStore> built = credentials::UserStore::Create(std::move(input), &errors);
    for (const credentials::UserStoreError& error : errors) {
      draft.Violate(absl::StrCat(path, error.path.empty() ? "" : ".", error.path), error.message);
    }
    if (built == nullptr || draft.violations.size() != before) continue;
    WarnOfWeak(draft, path, *store, *built);
    draft.parts->user_stores[store->name()] = std::move(built);
  }
}

}  // namespace gatehouse::config
