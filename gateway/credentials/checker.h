// Checker decides Basic credentials for one worker. What was verified lately is answered at once,
// from memory; anything else pays one password hash on the shared executor, and the answer is
// posted back. An unknown, disabled or expired user pays like a wrong password. Identical
// credentials from one address that are under way on any worker are verified once (Flights); what
// waits in the executor's queue is looked up and asked of the throttle once more when its turn comes.
//
//   Check --memo, cache, throttle, malformed, overload--> CheckResult (at once)
//      `----submitted or joined--> Ticket --executor, post--> callback, once; never when the Ticket
//      was dropped first
//
// Ownership:  borrows everything in CheckerOptions, which must outlive it; the executor must be
//             joined, or its queue dropped, before the cache, throttle, flights, verifier and what
//             `post` needs are gone.
// Threading:  one per worker, used on that worker's loop only. Callbacks run there, never inside
//             Check.
// Units:      wall-clock time.
// Errors:     CheckResult::reason.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/clock.h"
#include "gateway/base/digest.h"
#include "gateway/base/fair_executor.h"
#include "gateway/base/reason.h"
#include "gateway/credentials/basic.h"
#include "gateway/credentials/flights.h"
#include "gateway/credentials/hash_renewal.h"
#include "gateway/credentials/password_hash.h"
#include "gateway/credentials/throttle.h"
#include "gateway/credentials/user_store.h"
#include "gateway/credentials/verified_cache.h"

namespace gatehouse::credentials {

// BasicScheme is what a scheme of kind Basic was configured to.
struct BasicScheme {
  std::string name;
  std::string realm;
  std::shared_ptr<const UserStore> users;  // null refuses everybody
  absl::Duration cache_ttl = absl::Minutes(10);
  ThrottleOptions throttle;
  bool in_any_scheme = true;
  uint64_t epoch = 0;  // ComputeEpoch
};
using BasicSchemeRef = std::shared_ptr<const BasicScheme>;

// ComputeEpoch is the content version of the scheme's options and its user store.
uint64_t ComputeEpoch(const BasicScheme& scheme);

// StillAdmits says whether a stream that was admitted as `admitted` (of an earlier configuration of
// this scheme) would still be: the user is there, unchanged, enabled and not expired.
bool StillAdmits(const BasicScheme& scheme, const User& admitted, absl::Time now);

struct CheckResult {
  bool verified = false;
  Reason reason =
      Reason::kNone;       // why not; kNoCredentials = no Basic credentials were sent: no result
  bool too_large = false;  // answer 400
  absl::Duration retry_after = absl::ZeroDuration();  // with kLockedOut and kVerifierOverloaded
  UserRef user;                                       // when verified
  absl::Time fresh_until = absl::InfinitePast();      // when verified: of this answer
};

// CheckMemo lets a connection that repeats its Authorization field skip decoding and HMAC. One per
// connection; it holds a fingerprint under the process key, not the field.
class CheckMemo {
 private:
  friend class Checker;
  uint64_t epoch_ = 0;
  Sha256Digest fingerprint_{};
  CheckResult result_;  // verified, or nothing is remembered
};

struct CheckerOptions {
  FairExecutor* executor = nullptr;  // shared by address
  VerifiedCache* cache = nullptr;
  Throttle* throttle = nullptr;
  Flights* flights = nullptr;
  const PasswordVerifier* verifier = nullptr;
  const Clock* clock = nullptr;
  RenewalOffers* renewals = nullptr;  // hears of every verified password; may be null
  // Runs work on this worker's loop, later. Called from any thread.
  std::function<void(absl::AnyInvocable<void()>)> post;
};

class Checker {
 public:
  using Callback = absl::AnyInvocable<void(const CheckResult&)>;

  // Ticket: dropping it detaches the callback. The hash under way still counts for throttle and
  // cache.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket();

   private:
    friend class Checker;
    explicit Ticket(WaiterRef waiter);
    void Drop();
    WaiterRef waiter_;
  };
  using Answer = std::variant<CheckResult, Ticket>;

  explicit Checker(CheckerOptions options);
  ~Checker();
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;

  // Check decides the Authorization field value `authorization` (which occurred exactly once; empty
  // = absent) of a request from `address_key` (AddressKey). `memo` may be null. `done` is called
  // only if a Ticket is returned.
  Answer Check(const BasicSchemeRef& scheme, absl::string_view authorization,
               absl::string_view address_key, CheckMemo* memo, Callback done);

 private:
  // What one executor job needs, off the loop.
  struct Job;

  const std::shared_ptr<const CheckerOptions> options_;  // shared with what is queued
  const std::shared_ptr<Home> home_;
};

}  // namespace gatehouse::credentials
