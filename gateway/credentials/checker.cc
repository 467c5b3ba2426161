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
  return Epoch(Sha256(content));
}

bool StillAdmits(const BasicScheme& scheme, const User& admitted, absl::Time now) {
  if (scheme.users == nullptr) return false;
  const UserRef user = scheme.users->Find(admitted.name);
  return user != nullptr && user->epoch == admitted.epoch && !user->disabled &&
         !Expired(*user, now);
}

struct Checker::Waiter {
  Callback done;  // null once called or dropped
};

struct Checker::Flights {
  absl::flat_hash_map<Sha256Digest, std::vector<std::shared_ptr<Waiter>>, DigestHash> active;
};

struct Checker::Job {
  BasicSchemeRef scheme;
  UserRef user;  // null: unknown
  Reason ineligible;
  Secret password;
  std::vector<std::string> hashes;  // of the user, or decoys
  Throttle::Attempt attempt;
  VerifiedCache* cache;
  const PasswordVerifier* verifier;
  const Clock* clock;

  // Runs on a thread of the executor.
  CheckResult Run() {
    Reason reason = ineligible == Reason::kNone ? Reason::kWrongPassword : ineligible;
    const std::string* matched = nullptr;
    for (const std::string& hash : hashes) {
      // Every hash is paid for unless the answer is yes.
      if (verifier->Verify(hash, password.Reveal()) && ineligible == Reason::kNone) {
        matched = &hash;
        break;
      }
    }
    if (matched == nullptr) {
      attempt.Failed();
      return Refusal(reason);
    }
    attempt.Succeeded();
    const absl::Time fresh_until = clock->Now() + scheme->cache_ttl;
    cache->Put(cache->KeyOf(scheme->name, user->name, *matched, password.Reveal()), fresh_until);
    return Verified(user, fresh_until);
  }
};

Checker::Ticket::Ticket(std::shared_ptr<Waiter> waiter) : waiter_(std::move(waiter)) {}
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
  if (std::shared_ptr<Waiter> waiter = std::move(waiter_)) {
    Callback detached = std::exchange(waiter->done, nullptr);
  }
}

Checker::Checker(CheckerOptions options)
    : options_(std::move(options)), flights_(std::make_shared<Flights>()) {}
Checker::~Checker() = default;

size_t Checker::in_flight() const { return flights_->active.size(); }

std::optional<CheckResult> Checker::FromCache(const BasicScheme& scheme, const UserRef& user,
                                              absl::string_view password, absl::Time now) const {
  for (const std::string& hash : user->password_hashes) {
    const VerifiedCache::Key key = options_.cache->KeyOf(scheme.name, user->name, hash, password);
    if (std::optional<absl::Time> fresh_until = options_.cache->Contains(key, now)) {
      return Verified(user, *fresh_until);
    }
  }
  return std::nullopt;
}

Checker::Answer Checker::Check(const BasicSchemeRef& scheme, absl::string_view authorization,
                               absl::string_view address_key, CheckMemo* memo, Callback done) {
  if (authorization.empty()) return Refusal(Reason::kNoCredentials);
  const absl::Time now = options_.clock->Now();
  const bool remembered = memo != nullptr && memo->result_.verified &&
                          memo->epoch_ == scheme->epoch && now < memo->result_.fresh_until;
  if (remembered && authorization.size() <= kMaxAuthorizationBytes &&
      options_.cache->Fingerprint(authorization) == memo->fingerprint_) {
    return memo->result_;
  }

  BasicResult parsed = ParseBasic(authorization);
  if (const BasicError* error = std::get_if<BasicError>(&parsed)) return Unreadable(*error);
  BasicCredentials& credentials = std::get<BasicCredentials>(parsed);
  const absl::string_view password = credentials.password.Reveal();
  UserRef user = scheme->users == nullptr ? nullptr : scheme->users->Find(credentials.user);
  const Reason ineligible = Ineligible(user.get(), password, now);
  if (ineligible == Reason::kNone) {
    if (std::optional<CheckResult> hit = FromCache(*scheme, user, password, now)) {
      if (memo != nullptr) {
        memo->epoch_ = scheme->epoch;
        memo->fingerprint_ = options_.cache->Fingerprint(authorization);
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
  const Sha256Digest key = options_.cache->KeyOf(scheme->name, credentials.user, detail, password);
  auto waiter = std::make_shared<Waiter>();
  waiter->done = std::move(done);
  if (auto flight = flights_->active.find(key); flight != flights_->active.end()) {
    auto& waiters = flight->second;
    if (waiters.size() == waiters.capacity()) {
      // Callers that gave up must not add up while one hash runs.
      waiters.erase(std::remove_if(waiters.begin(), waiters.end(),
                                   [](const auto& w) { return w->done == nullptr; }),
                    waiters.end());
    }
    waiters.push_back(waiter);
    return Ticket(std::move(waiter));
  }

  auto begun = options_.throttle->Begin(scheme->name, credentials.user, address_key);
  if (const auto* refused = std::get_if<Throttle::Refused>(&begun)) {
    return Refusal(Reason::kLockedOut, refused->retry_after);
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
          options_.cache,
          options_.verifier,
          options_.clock};
  auto work = [job = std::move(job), post = options_.post, key,
               weak = std::weak_ptr<Flights>(flights_)]() mutable {
    CheckResult result = job.Run();
    // `weak` is locked on the loop only: the flights must not die on this thread.
    post([weak = std::move(weak), key, result = std::move(result)] {
      if (std::shared_ptr<Flights> flights = weak.lock()) Land(*flights, key, result);
    });
  };
  if (!options_.executor->Submit(std::move(work))) {
    return Refusal(Reason::kVerifierOverloaded, options_.overload_retry_after);
  }
  flights_->active[key].push_back(waiter);
  return Ticket(std::move(waiter));
}

void Checker::Land(Flights& flights, const Sha256Digest& key, const CheckResult& result) {
  auto flight = flights.active.find(key);
  if (flight == flights.active.end()) return;
  // Out of the map first: a callback that asks again starts a new flight.
  std::vector<std::shared_ptr<Waiter>> waiters = std::move(flight->second);
  flights.active.erase(flight);
  for (const std::shared_ptr<Waiter>& waiter : waiters) {
    if (Callback done = std::exchange(waiter->done, nullptr)) done(result);
  }
}

}  // namespace gatehouse::credentials
