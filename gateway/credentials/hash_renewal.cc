#include "gateway/credentials/hash_renewal.h"

#include "gateway/base/fields.h"

namespace gatehouse::credentials {

void RenewalOffers::Consider(const UserStore& users, const User& user, absl::string_view hash,
                             absl::string_view password) {
  if (!users.hashing().renew_on_login) return;
  const absl::StatusOr<HashCost> cost = ParseHash(hash);
  if (!cost.ok() || !users.hashing().IsWeaker(*cost)) return;
  std::string what;
  AppendField(&what, users.name());
  AppendField(&what, user.name);
  AppendField(&what, hash);
  const Sha256Digest key = Sha256(what);
  const absl::Time now = clock_.Now();
  {
    MutexLock lock(&mutex_);
    const absl::Time* until = offered_.Find(key);
    if (until != nullptr && now < *until) return;
    // Before the sink is asked: logins of one user at the same time make one offer.
    offered_.Put(key, now + kAgain);
  }
  if (sink_(RenewalOffer{users.name(), user.name, Secret(password)})) return;
  MutexLock lock(&mutex_);
  offered_.Put(key, absl::InfinitePast());
}

}  // namespace gatehouse::credentials
