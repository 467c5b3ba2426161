// Desk decides Basic credentials by asking users' own services. What was said yes to lately is answered from memory, for as
// long as the service said; identical credentials under way are asked about once; an endpoint that does not answer is left
// alone for a while (breaker.h); guesses pay at the throttle as they do for user stores, unknown users alike.
//
//   Check --memory, malformed, throttled, full, nobody to ask--> Result (at once)
//      `----asked or joined--> Ticket --client's thread, post--> callback, once; never when the Ticket was dropped first
//
// Nothing fails open: no service, no answer, an answer that cannot be believed are all kVerifierUnavailable.
//
// Ownership:  owns its clients; borrows clock and throttle. The destructor ends what is under way and waits for it: what
//             `post` needs must live until then.
// Threading:  thread-safe, shared by the workers. A Ticket is dropped where its callback would run. `on_notice` runs on any
//             thread, under no lock.
// Units:      wall-clock times; capacity in remembered answers (some 300 bytes and the claims each), oldest use first out.
// Errors:     Result.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/clock.h"
#include "gateway/credentials/checker.h"
#include "gateway/credentials/throttle.h"
#include "gateway/delegate/client.h"
#include "gateway/delegate/service.h"

namespace gatehouse::delegate {

// Result is a CheckResult whose user is who the service let in. `fresh_until` is when a stream that it admitted must be
// asked about again.
struct Result : credentials::CheckResult {
  std::string detail;  // evidence for people: endpoint and cause; never a secret
};

class Desk {
  struct State;
  struct Waiter;

 public:
  using Post = std::function<void(absl::AnyInvocable<void()>)>;
  using Callback = absl::AnyInvocable<void(const Result&)>;

  struct Options {
    const Clock* clock = nullptr;
    credentials::Throttle* throttle = nullptr;
    ClientFactory clients;  // empty: nobody can be asked
    // An endpoint ceased to answer (true), or does again.
    std::function<void(const std::string& text, bool failed)> on_notice;
    size_t capacity = 100'000;
  };

  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&&) noexcept = default;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() { Drop(); }

   private:
    friend class Desk;
    explicit Ticket(std::shared_ptr<Waiter> waiter) : waiter_(std::move(waiter)) {}
    void Drop();
    std::shared_ptr<Waiter> waiter_;
  };
  using Answer = std::variant<Result, Ticket>;

  explicit Desk(Options options);
  ~Desk();
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  // Use makes clients for services that are new, KeepOnly lets go of all others. Before and after a snapshot comes into
  // force.
  void Use(const std::vector<ServiceRef>& services);
  void KeepOnly(const std::vector<ServiceRef>& services);

  // Check decides the Authorization field value `authorization` (which occurred exactly once; empty = absent) of a request
  // from `address_key` (credentials::AddressKey); guesses are slowed as `throttle` says. `done` is posted only if a Ticket is
  // returned.
  Answer Check(const ServiceRef& service, const credentials::ThrottleOptions& throttle, absl::string_view authorization,
               absl::string_view address_key, const Facts& facts, Post post, Callback done);
  // The same for a stream that these credentials have admitted already: no guess, so the throttle is not asked.
  Answer Recheck(const ServiceRef& service, absl::string_view authorization, absl::string_view address_key,
                 const Facts& facts, Post post, Callback done);

  // What became of calls.
  enum class Outcome : uint8_t { kAllowed, kDenied, kMalformed, kUnanswered, kFailed };
  static constexpr size_t kOutcomes = 5;
  static absl::string_view OutcomeName(Outcome outcome);
  uint64_t calls(Outcome outcome) const;
  double call_seconds() const;
  uint64_t memory_hits() const;
  uint64_t breakers_opened() const;
  struct Sizes {
    size_t running = 0;        // calls
    size_t answers = 0;        // remembered
    size_t open_breakers = 0;  // endpoints that are not asked now
  };
  Sizes sizes() const;

  struct EndpointState {
    std::string endpoint;
    bool asked = false;  // calls go out
    std::string text;    // "closed", "half-open", "open for 3s more"
  };
  // In the service's order; empty when the service is not in use.
  std::vector<EndpointState> Endpoints(const Service& service) const;

 private:
  // `throttle` null: it is no guess.
  Answer Decide(const ServiceRef& service, const credentials::ThrottleOptions* throttle, absl::string_view authorization,
                absl::string_view address_key, const Facts& facts, Post post, Callback done);

  const std::shared_ptr<State> state_;
};

}  // namespace gatehouse::delegate
