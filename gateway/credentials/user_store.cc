#include "gateway/credentials/user_store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/credentials/password_hash.h"

namespace gatehouse::credentials {
namespace {

constexpr size_t kMaxUserNameBytes = 255;
constexpr size_t kMaxUsers = 100'000;
constexpr size_t kMaxClaims = 64;
constexpr size_t kMaxClaimTypeBytes = 256;
constexpr size_t kMaxClaimValueBytes = 4096;

// What a store without users burns: what its first user's password would cost, of no password.
std::string DefaultDecoy(const PasswordHashing& hashing) {
  const HashOptions& o = hashing.options;
  if (hashing.kind == HashKind::kBcrypt) {
    return absl::StrCat("$2b$", absl::Dec(o.bcrypt_cost, absl::kZeroPad2), "$", std::string(53, '.'));
  }
  return absl::StrCat("$argon2id$v=19$m=", o.argon2_memory_bytes / 1024, ",t=", o.argon2_passes, ",p=", o.argon2_lanes,
                      "$Z2F0ZWhvdXNlZGVjb3kwMA$", std::string(43, 'A'));
}

bool HasControl(absl::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
}

struct Errors {
  void Add(std::string path, std::string message) {
    if (list != nullptr) list->push_back({std::move(path), std::move(message)});
    ++count;
  }
  std::vector<UserStoreError>* list;
  size_t count = 0;
};

void CheckClaims(const User& user, const std::string& path, Errors& errors) {
  if (user.claims.size() > kMaxClaims) {
    errors.Add(path + ".claims", absl::StrCat("must be at most ", kMaxClaims));
  }
  for (size_t i = 0; i < user.claims.size(); ++i) {
    const UserClaim& claim = user.claims[i];
    const std::string where = absl::StrCat(path, ".claims[", i, "]");
    if (claim.type.empty()) errors.Add(where + ".type", "must not be empty");
    if (claim.type.size() > kMaxClaimTypeBytes) {
      errors.Add(where + ".type", absl::StrCat("must be at most ", kMaxClaimTypeBytes, " bytes"));
    }
    if (HasControl(claim.type) || !IsValidUtf8(claim.type)) {
      errors.Add(where + ".type", "must be UTF-8 without control characters");
    }
    if (claim.value.size() > kMaxClaimValueBytes) {
      errors.Add(where + ".value", absl::StrCat("must be at most ", kMaxClaimValueBytes, " bytes"));
    }
    if (HasControl(claim.value) || !IsValidUtf8(claim.value)) {
      errors.Add(where + ".value", "must be UTF-8 without control characters");
    }
  }
}

struct HashesCost {
  std::string signature;  // of what verifying them all costs
  bool weak = false;
};

HashesCost CheckHashes(const User& user, const std::string& path, bool allow_weak, Errors& errors) {
  if (user.password_hashes.empty() || user.password_hashes.size() > 2) {
    errors.Add(path + ".password_hashes", "must be one hash, or two during a rotation");
  }
  HashesCost all;
  for (size_t i = 0; i < user.password_hashes.size(); ++i) {
    absl::StatusOr<HashCost> cost = ParseHash(user.password_hashes[i]);
    if (!cost.ok()) {
      errors.Add(absl::StrCat(path, ".password_hashes[", i, "]"),
                 std::string(cost.status().message()));
      continue;
    }
    if (IsWeak(cost->kind)) {
      all.weak = true;
      if (!allow_weak) {
        errors.Add(absl::StrCat(path, ".password_hashes[", i, "]"),
                   absl::StrCat(HashKindName(cost->kind),
                                " is weak: set the user's password anew, or allow_weak_hashes of the store"));
      }
    }
    absl::StrAppend(&all.signature, HashKindName(cost->kind), "/", cost->cost, "/", cost->memory_bytes,
                    "/", cost->lanes, ";");
  }
  return all;
}

// The digest by which a hash counts: its original's, if it was renewed.
Sha256Digest OriginOf(const std::string& hash, const User& user) {
  const Sha256Digest digest = Sha256(hash);
  for (const RenewedHash& renewed : user.renewed) {
    if (renewed.hash == digest) return renewed.original;
  }
  return digest;
}

uint64_t UserEpoch(const User& user) {
  std::string content;
  AppendField(&content, user.name);
  AppendField(&content, user.password_hashes.size());
  for (const std::string& hash : user.password_hashes) AppendField(&content, AsView(OriginOf(hash, user)));
  AppendField(&content, uint64_t{user.disabled});
  AppendField(&content, uint64_t{user.expires.has_value()});
  AppendField(&content,
              static_cast<uint64_t>(absl::ToUnixNanos(user.expires.value_or(absl::UnixEpoch()))));
  AppendField(&content, user.claims.size());
  for (const UserClaim& claim : user.claims) {
    AppendField(&content, claim.type);
    AppendField(&content, claim.value);
  }
  return Epoch(Sha256(content));
}

// Draws are secret, so that nobody can compute which cost an unknown name should have, and stay the
// same for the life of the process.
const std::string& DecoyKey() {
  static const std::string* const key = new std::string(RandomBytes(32));
  return *key;
}

}  // namespace

std::string UserNameProblem(absl::string_view name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > kMaxUserNameBytes) {
    return absl::StrCat("must be at most ", kMaxUserNameBytes, " bytes");
  }
  if (name.find(':') != absl::string_view::npos) return "must not contain a colon (RFC 7617)";
  if (HasControl(name)) return "must not contain control characters";
  if (!IsValidUtf8(name)) return "must be UTF-8";
  return "";
}

std::shared_ptr<const UserStore> UserStore::Create(UserStoreInput input,
                                                   std::vector<UserStoreError>* errors_out) {
  Errors errors{errors_out};
  if (input.users.size() > kMaxUsers) {
    errors.Add("users", absl::StrCat("must be at most ", kMaxUsers));
  }
  std::shared_ptr<UserStore> store(new UserStore);
  store->name_ = std::move(input.name);
  store->hashing_ = input.hashing;
  store->users_.reserve(input.users.size());
  std::map<std::string, std::pair<size_t, std::vector<std::string>>> profiles;
  std::vector<std::pair<std::string, uint64_t>> epochs;
  for (size_t i = 0; i < input.users.size(); ++i) {
    User& user = input.users[i];
    std::string path = absl::StrCat("users[", i, "]");
    if (std::string problem = UserNameProblem(user.name); !problem.empty()) {
      errors.Add(path + ".name", problem);
    } else {
      path = absl::StrCat("users[\"", EscapeText(user.name), "\"]");
    }
    const HashesCost cost = CheckHashes(user, path, input.allow_weak_hashes, errors);
    if (cost.weak) ++store->weak_users_;
    CheckClaims(user, path, errors);
    user.epoch = UserEpoch(user);
    epochs.emplace_back(user.name, user.epoch);
    auto& [count, hashes] = profiles[cost.signature];
    if (++count == 1) hashes = user.password_hashes;
    std::string name = user.name;
    if (!store->users_.try_emplace(std::move(name), std::make_shared<const User>(std::move(user)))
             .second) {
      errors.Add(path + ".name", "is used by an earlier user");
    }
  }
  if (errors.count != 0) return nullptr;

  std::sort(epochs.begin(), epochs.end());
  std::string content;
  AppendField(&content, store->name_);
  for (const auto& [name, epoch] : epochs) {
    AppendField(&content, name);
    AppendField(&content, epoch);
  }
  store->epoch_ = Epoch(Sha256(content));

  size_t up_to = 0;
  for (auto& [signature, profile] : profiles) {
    up_to += profile.first;
    store->profiles_.push_back({signature, std::move(profile.second), up_to});
  }
  if (store->profiles_.empty()) store->profiles_.push_back({"", {DefaultDecoy(store->hashing_)}, 1});
  return store;
}

UserRef UserStore::Find(absl::string_view name) const {
  auto it = users_.find(name);
  return it == users_.end() ? nullptr : it->second;
}

absl::Span<const std::string> UserStore::DecoyHashes(absl::string_view name) const {
  // A position in [0, 1) that depends on the name alone, so that a user added elsewhere moves few
  // names.
  const double position =
      static_cast<double>(Epoch(HmacSha256(DecoyKey(), name)) >> 11) * 0x1.0p-53;
  const auto point = static_cast<size_t>(position * static_cast<double>(profiles_.back().up_to));
  for (const Profile& profile : profiles_) {
    if (point < profile.up_to) return profile.hashes;
  }
  return profiles_.back().hashes;
}

}  // namespace gatehouse::credentials
