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

namespace gatehouse::credentials {

struct UserClaim {
  std::string type;
  std::string value;
};

struct User {
  std::string name;
  std::vector<std::string> password_hashes;  // one, or two while a password is being changed
  bool disabled = false;
  std::optional<absl::Time> expires;  // refused from this moment on
  std::vector<UserClaim> claims;
  // Content version of this user alone, computed by UserStore::Create: a change of one user
  // invalidates only that one.
  uint64_t epoch = 0;
};
using UserRef = std::shared_ptr<const User>;

struct UserStoreInput {
  std::string name;
  std::vector<User> users;
};

struct UserStoreError {
  std::string path;  // relative to the store
  std::string message;
};

class UserStore {
 public:
  // Create returns null and appends to `errors` when anything is wrong: empty, over-long,
  // control-character, colon or duplicate names, no hash or more than two, a hash that ParseHash
  // refuses, a claim without a type. A store without users is allowed and admits nobody.
  static std::shared_ptr<const UserStore> Create(UserStoreInput input,
                                                 std::vector<UserStoreError>* errors);

  const std::string& name() const { return name_; }
  // Content version of the whole store: equal content, equal epoch.
  uint64_t epoch() const { return epoch_; }
  size_t size() const { return users_.size(); }
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
  absl::flat_hash_map<std::string, UserRef> users_;
  std::vector<Profile> profiles_;
};

}  // namespace gatehouse::credentials
