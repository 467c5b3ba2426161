// UserStore is a set of users with their password hashes and claims. It never changes.
//
// Ownership:  owns its users; a UserRef keeps one alive beyond its store.
// Threading:  immutable.
// Units:      times are wall-clock.
// Errors:     every violation at once, with its path, e.g. `users["ann"].password_hashes[1]`. No
// message contains a hash.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/digest.h"
#include "gateway/credentials/password_hash.h"

namespace gatehouse::credentials {

struct UserClaim {
  std::string type;
  std::string value;
};

// RenewedHash ties a hash to the one that was stored when the password was set, by their SHA-256.
struct RenewedHash {
  Sha256Digest hash{};
  Sha256Digest original{};
};

struct User {
  std::string name;
  std::vector<std::string> password_hashes;  // one, or two while a password is being changed
  bool disabled = false;
  std::optional<absl::Time> expires;  // refused from this moment on
  std::vector<UserClaim> claims;
  std::vector<RenewedHash> renewed;
  // Content version of this user alone, computed by UserStore::Create: a change of one user
  // invalidates only that one. A renewed hash counts as its original: the password is the same.
  uint64_t epoch = 0;
};
using UserRef = std::shared_ptr<const User>;

// PasswordHashing says how the store's new passwords are hashed.
struct PasswordHashing {
  HashKind kind = HashKind::kArgon2id;
  HashOptions options;
  bool renew_on_login = false;

  bool IsWeaker(const HashCost& have) const { return credentials::IsWeaker(have, kind, options); }
};

struct UserStoreInput {
  std::string name;
  std::vector<User> users;
  PasswordHashing hashing;
  bool allow_weak_hashes = false;
};

// What is wrong with a user's name; "" when nothing is.
std::string UserNameProblem(absl::string_view name);

struct UserStoreError {
  std::string path;  // relative to the store
  std::string message;
};

class UserStore {
 public:
  // Create returns null and appends to `errors` when anything is wrong: empty, over-long,
  // control-character, colon or duplicate names, no hash or more than two, a hash that ParseHash
  // refuses, a weak one that is not allowed, a claim without a type. A store without users is allowed
  // and admits nobody.
  static std::shared_ptr<const UserStore> Create(UserStoreInput input,
                                                 std::vector<UserStoreError>* errors);

  const std::string& name() const { return name_; }
  // Content version of the whole store: equal content, equal epoch.
  uint64_t epoch() const { return epoch_; }
  size_t size() const { return users_.size(); }
  const PasswordHashing& hashing() const { return hashing_; }
  // Users with a weak hash.
  size_t weak_users() const { return weak_users_; }
  // Null when there is no such user. Names are compared octet by octet.
  UserRef Find(absl::string_view name) const;

  // DecoyHashes returns the hashes to burn for a name that is not in the store: drawn per name, by
  // HMAC, from the store's own mix of costs, so that the time taken says nothing. The result of
  // verifying them must be ignored.
  absl::Span<const std::string> DecoyHashes(absl::string_view name) const;

  template <typename F>
  void ForEach(F visit) const {
    for (const auto& [name, user] : users_) visit(*user);
  }

 private:
  // Users that cost the same to refuse, by their number.
  struct Profile {
    std::string signature;
    std::vector<std::string> hashes;
    size_t up_to = 0;  // cumulative count of users
  };

  UserStore() = default;

  std::string name_;
  uint64_t epoch_ = 0;
  PasswordHashing hashing_;
  size_t weak_users_ = 0;
  absl::flat_hash_map<std::string, UserRef> users_;
  std::vector<Profile> profiles_;
};

}  // namespace gatehouse::credentials
