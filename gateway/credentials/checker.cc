#include "gateway/credentials/checker.h"

#include <algorithm>
#include <utility>

#include "gateway/base/fields.h"

namespace gatehouse::credentials {
namespace {

bool Expired(const User& user, absl::Time now) { return user.expires && now >= *user.expires; }

// A remembered answer never outlives the user.
absl::Time FreshUntil(const User& user, absl::Time cached) {
  return user.expires ? std::min(cached, *user.expires) : cached;
}

CheckResult Refusal(Reason reason, absl::Duration retry_after = absl::ZeroDuration()) {
  CheckResult result;
  result.reason = reason;
  result.retry_after = retry_after;
  return result;
}

CheckResult Verified(UserRef user, absl::Time fresh_until) {
  CheckResult result;
  result.verified = true;
  result.fresh_until = FreshUntil(*user, fresh_until);
  result.user = std::move(user);
  return result;
}

CheckResult Unreadable(BasicError error) {
  switch (error) {
    case BasicError::kOtherScheme:
      return Refusal(Reason::kNoCredentials);
    case BasicError::kMalformed:
      break;
    case BasicError::kTooLarge: {
      CheckResult result = Refusal(Reason::kMalformedCredentials);
      result.too_large = true;
      return result;
    }
  }
  return Refusal(Reason::kMalformedCredentials);
}

// Why this user cannot be verified whatever the password; kNone when the password decides.
Reason Ineligible(const User* user, absl::string_view password, absl::Time now) {
  if (user == nullptr) return Reason::kUnknownUser;
  if (user->disabled || Expired(*user, now)) return Reason::kUserDisabled;
  return password.empty() ? Reason::kWrongPassword : Reason::kNone;
}

std::optional<CheckResult> FromCache(VerifiedCache& cache, const BasicScheme& scheme, const UserRef& user,
                                     absl::string_view password, absl::Time now) {
  for (const std::string& hash : user->password_hashes) {
    const VerifiedCache::Key key = cache.KeyOf(scheme.name, user->name, hash, password);
    if (std::optional<absl::Time> fresh_until = cache.Contains(key, now)) return Verified(user, *fresh_until);
  }
  return std::nullopt;
}

// When the queue has gone down, as far as one can tell.
absl::Duration RetryAfter(const FairExecutor& executor) {
  return std::clamp(absl::Ceil(executor.ExpectedWait(), absl::Seconds(1)), absl::Seconds(1), absl::Minutes(1));
}

}  // namespace

uint64_t ComputeEpoch(const BasicScheme& scheme) {
  std::string content;
  AppendField(&content, scheme.name);
  AppendField(&content, scheme.realm);
  AppendField(&content, uint64_t{scheme.users != nullptr});
  AppendField(&content, scheme.users == nullptr ? absl::string_view() : scheme.users->name());
  AppendField(&content, scheme.users == nullptr ? 0 : scheme.users->epoch());
  AppendField(&content, static_cast<uint64_t>(absl::ToInt64Nanoseconds(scheme.cache_ttl)));
  AppendField(&content, uint64_t{scheme.in_any_scheme});
  const ThrottleOptions& throttle = scheme.throttle;
  for (uint32_t number : {throttle.free_failures, throttle.lockout_failures, throttle.user_free_failures,
                          throttle.address_free_users, throttle.address_lockout_users, throttle.spray_users}) {
    AppendField(&content, uint64_t{number});
  }
  for (absl::Duration duration : {throttle.first_delay, throttle.max_delay, throttle.lockout, throttle.forget,
                                  throttle.user_delay, throttle.spray_window}) {
    AppendField(&content, static_cast<uint64_t>(absl::ToInt64Nanoseconds(duration)));
  }
  return Epoch(Sha256(content));
}

bool StillAdmits(const BasicScheme& scheme, const User& admitted, absl::Time now) {
  if (scheme.users == nullptr) return false;
  const UserRef user = scheme.users->Find(admitted.name);
  return user != nullptr && user->epoch == admitted.epoch && !user->disabled &&
         !Expired(*user, now);
}

struct Checker::Job {
  BasicSchemeRef scheme;
  UserRef user;  // null: unknown
  Reason ineligible;
  Secret password;
  std::vector<std::string> hashes;  // of the user, or decoys
  Throttle::Attempt attempt;
  std::shared_ptr<const CheckerOptions> options;

  // Runs on a thread of the executor.
  CheckResult Run() {
    const absl::Time now = options->clock->Now();
    if (ineligible == Reason::kNone) {
      // The same password may have been verified for another address meanwhile.
      if (std::optional<CheckResult> hit = FromCache(*options->cache, *scheme, user, password.Reveal(), now)) {
        attempt.Succeeded();
        return *std::move(hit);
      }
    }
    if (const std::optional<Throttle::Refused> refused = attempt.Recheck()) {
      return Refusal(Reason::kLockedOut, refused->retry_after);
    }
    const std::string* matched = nullptr;
    for (const std::string& hash : hashes) {
      // Every hash is paid for unless the answer is yes.
      if (options->verifier->Verify(hash, password.Reveal()) && ineligible == Reason::kNone) {
        matched = &hash;
        break;
      }
    }
    if (matched == nullptr) {
      attempt.Failed();
      return Refusal(ineligible == Reason::kNone ? Reason::kWrongPassword : ineligible);
    }
    attempt.Succeeded();
    const absl::Time verified = options->clock->Now();
    if (Expired(*user, verified)) return Refusal(Reason::kUserDisabled);  // while it waited
    const absl::Time fresh_until = verified + scheme->cache_ttl;
    options->cache->Put(options->cache->KeyOf(scheme->name, user->name, *matched, password.Reveal()), fresh_until);
    if (options->renewals != nullptr) {
      options->renewals->Consider(*scheme->users, *user, *matched, password.Reveal());
    }
    return Verified(user, fresh_until);
  }
};

Checker::Ticket::Ticket(WaiterRef waiter) : waiter_(std::move(waiter)) {}
Checker::Ticket::Ticket(Ticket&& other) noexcept = default;
Checker::Ticket& Checker::Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    Drop();
    waiter_ = std::move(other.waiter_);
  }
  return *this;
}
Checker::Ticket::~Ticket() { Drop(); }
void Checker::Ticket::Drop() {
  // The callback may own this ticket's owner: it dies after the ticket has let go.
  if (WaiterRef waiter = std::move(waiter_)) {
    waiter->dropped = true;
    Callback detached = std::exchange(waiter->done, nullptr);
  }
}

Checker::Checker(CheckerOptions options)
    : options_(std::make_shared<const CheckerOptions>(std::move(options))),
      home_(std::make_shared<Home>(Home{options_->post})) {}
Checker::~Checker() { home_->gone = true; }

Checker::Answer Checker::Check(const BasicSchemeRef& scheme, absl::string_view authorization,
                               absl::string_view address_key, CheckMemo* memo, Callback done) {
  if (authorization.empty()) return Refusal(Reason::kNoCredentials);
  const absl::Time now = options_->clock->Now();
  const bool remembered = memo != nullptr && memo->result_.verified &&
                          memo->epoch_ == scheme->epoch && now < memo->result_.fresh_until;
  if (remembered && authorization.size() <= kMaxAuthorizationBytes &&
      options_->cache->Fingerprint(authorization) == memo->fingerprint_) {
    return memo->result_;
  }

  BasicResult parsed = ParseBasic(authorization);
  if (const BasicError* error = std::get_if<BasicError>(&parsed)) return Unreadable(*error);
  BasicCredentials& credentials = std::get<BasicCredentials>(parsed);
  const absl::string_view password = credentials.password.Reveal();
  UserRef user = scheme->users == nullptr ? nullptr : scheme->users->Find(credentials.user);
  const Reason ineligible = Ineligible(user.get(), password, now);
  if (ineligible == Reason::kNone) {
    if (std::optional<CheckResult> hit = FromCache(*options_->cache, *scheme, user, password, now)) {
      if (memo != nullptr) {
        memo->epoch_ = scheme->epoch;
        memo->fingerprint_ = options_->cache->Fingerprint(authorization);
        memo->result_ = *hit;
      }
      return *std::move(hit);
    }
  }

  // Same credentials, configuration and address: one hash. The address is part of it, else a
  // locked-out one could ride on somebody else's attempt.
  std::string detail = "flight";
  AppendField(&detail, scheme->epoch);
  AppendField(&detail, address_key);
  const Sha256Digest key = options_->cache->KeyOf(scheme->name, credentials.user, detail, password);
  auto waiter = std::make_shared<Waiter>();
  waiter->home = home_;
  waiter->done = std::move(done);
  Ticket ticket(waiter);
  Flights& flights = *options_->flights;
  if (flights.JoinOrBegin(key, waiter)) return ticket;

  // Who joined from another worker meanwhile hears the same.
  const auto refuse = [&](CheckResult result) {
    ticket = Ticket();
    flights.Land(key, result);
    return result;
  };
  auto begun = options_->throttle->Begin({scheme->name, credentials.user, address_key, user != nullptr}, scheme->throttle);
  if (const auto* refused = std::get_if<Throttle::Refused>(&begun)) {
    return refuse(Refusal(Reason::kLockedOut, refused->retry_after));
  }
  std::vector<std::string> hashes;
  if (user != nullptr) {
    hashes = user->password_hashes;
  } else if (scheme->users != nullptr) {
    absl::Span<const std::string> decoys = scheme->users->DecoyHashes(credentials.user);
    hashes.assign(decoys.begin(), decoys.end());
  }
  Job job{scheme,
          std::move(user),
          ineligible,
          std::move(credentials.password),
          std::move(hashes),
          std::get<Throttle::Attempt>(std::move(begun)),
          options_};
  auto work = [job = std::move(job), key](FairExecutor::Fate fate) mutable {
    const CheckerOptions& options = *job.options;
    const CheckResult result = fate == FairExecutor::Fate::kRun
                                   ? job.Run()
                                   : Refusal(Reason::kVerifierOverloaded, RetryAfter(*options.executor));
    options.flights->Land(key, result);
  };
  if (!options_->executor->Submit(address_key, std::move(work))) {
    return refuse(Refusal(Reason::kVerifierOverloaded, RetryAfter(*options_->executor)));
  }
  return ticket;
}

}  // namespace gatehouse::credentials
