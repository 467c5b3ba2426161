// RenewalOffers hands passwords that were just verified against a weak hash to whoever can replace the hash, when the user
// store asks for it. It is called on the way of a login and holds up none: an offer is a look-up in a table, and what the
// sink does not take is offered again at a later login.
//
// Ownership:  the clock outlives it. A sink gets the password as its own.
// Threading:  thread-safe; the sink is called from any thread, also concurrently, and must be quick.
// Units:      remembers the last kRemembered users, for kAgain each.
// Errors:     none.
#pragma once

#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/digest.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"
#include "gateway/base/secret.h"
#include "gateway/credentials/user_store.h"

namespace gatehouse::credentials {

struct RenewalOffer {
  std::string user_store;
  std::string user;
  Secret password;
};

class RenewalOffers {
 public:
  // False: not taken.
  using Sink = std::function<bool(RenewalOffer)>;
  static constexpr size_t kRemembered = 4096;
  static constexpr absl::Duration kAgain = absl::Minutes(10);

  RenewalOffers(Sink sink, const Clock& clock) : sink_(std::move(sink)), clock_(clock), offered_(kRemembered) {}

  // Consider offers `password` of `user`, which was verified against `hash`, unless that hash is good enough or was
  // offered within kAgain.
  void Consider(const UserStore& users, const User& user, absl::string_view hash, absl::string_view password);

 private:
  const Sink sink_;
  const Clock& clock_;
  Mutex mutex_;
  LruCache<Sha256Digest, absl::Time, DigestHash> offered_ ABSL_GUARDED_BY(mutex_);  // until when
};

}  // namespace gatehouse::credentials
