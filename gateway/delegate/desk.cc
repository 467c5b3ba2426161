#include "gateway/delegate/desk.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"
#include "gateway/credentials/basic.h"
#include "gateway/delegate/answer.h"
#include "gateway/delegate/breaker.h"

namespace gatehouse::delegate {
namespace {

constexpr absl::Duration kRetryAfter = absl::Seconds(1);
// A clock is corrected by less all the time.
constexpr absl::Duration kClockStep = absl::Minutes(1);

Result Refusal(Reason reason, std::string detail = {}, absl::Duration retry_after = absl::ZeroDuration()) {
  Result result;
  result.reason = reason;
  result.retry_after = retry_after;
  result.detail = std::move(detail);
  return result;
}

Result Unavailable(std::string detail, absl::Duration retry_after = kRetryAfter) {
  return Refusal(Reason::kVerifierUnavailable, std::move(detail), std::max(retry_after, kRetryAfter));
}

Result Unreadable(credentials::BasicError error) {
  if (error == credentials::BasicError::kOtherScheme) return Refusal(Reason::kNoCredentials);
  Result result = Refusal(Reason::kMalformedCredentials);
  result.too_large = error == credentials::BasicError::kTooLarge;
  return result;
}

// The facts that are sent, copied.
Question QuestionOf(const Service& service, credentials::BasicCredentials credentials, const Facts& facts) {
  Question question;
  question.scheme = service.scheme;
  question.user = std::move(credentials.user);
  question.password = std::move(credentials.password);
  const auto send = [&service](Fact fact, absl::string_view from, std::string* to) {
    if (service.sent.Has(fact)) *to = std::string(from);
  };
  send(Fact::kHost, facts.host, &question.host);
  send(Fact::kPath, facts.path, &question.path);
  send(Fact::kMethod, facts.method, &question.method);
  send(Fact::kClientAddress, facts.client_address, &question.client_address);
  send(Fact::kListener, facts.listener, &question.listener);
  send(Fact::kRoute, facts.route, &question.route);
  send(Fact::kRequestId, facts.request_id, &question.request_id);
  send(Fact::kCertificate, facts.certificate_sha256, &question.certificate_sha256);
  return question;
}

bool WentUnanswered(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable || status.code() == absl::StatusCode::kDeadlineExceeded;
}

using Key = Sha256Digest;

}  // namespace

struct Desk::Waiter {
  Post post;
  Callback done;  // null once called or dropped; touched where it would run
  std::atomic<bool> dropped{false};
};

// What outlives a Desk until the last call has ended.
struct Desk::State : std::enable_shared_from_this<Desk::State> {
  struct Endpoint {
    std::string name;
    std::shared_ptr<Client> client;
    CircuitBreaker breaker;
  };
  struct Asked {  // one service in use
    ServiceRef service;
    std::vector<Endpoint> endpoints;
    uint32_t running = 0;
    absl::flat_hash_map<std::string, uint32_t> by_address;  // of these
  };
  struct Flight {
    std::vector<std::shared_ptr<Waiter>> waiters;
  };
  struct Remembered {
    credentials::UserRef user;
    absl::Time made, fresh_until;
  };
  // One call under way, and what is to be done with its answer.
  struct Call {
    std::shared_ptr<Asked> asked;
    size_t endpoint = 0;
    uint64_t admitted = 0;  // by its breaker
    Key key{}, flight{};
    std::string user, address_key;
    std::optional<credentials::Throttle::Attempt> attempt;
    absl::Time begun;
  };

  explicit State(Options o) : options(std::move(o)), process_key(RandomBytes(32)), answers(options.capacity) {}

  // Alike in all that the service is told, request id aside.
  Key KeyOf(const Service& service, const Question& question) const {
    std::string content;
    AppendField(&content, AsView(service.version));
    for (const std::string* fact : {&question.user, &question.host, &question.path, &question.method,
                                    &question.client_address, &question.listener, &question.route,
                                    &question.certificate_sha256}) {
      AppendField(&content, *fact);
    }
    AppendField(&content, question.password.Reveal());
    Secret wiped(std::move(content));
    return HmacSha256(process_key, wiped.Reveal());
  }
  // Nobody who is locked out rides on the question of somebody elsewhere.
  Key FlightOf(const Key& key, absl::string_view address_key) const {
    std::string content;
    AppendField(&content, AsView(key));
    AppendField(&content, address_key);
    return HmacSha256(process_key, content);
  }

  std::optional<Result> FromMemory(const Key& key, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const Remembered* found = answers.Find(key);
    if (found == nullptr) return std::nullopt;
    // A clock that was set back makes nothing last longer.
    if (now >= found->fresh_until || now < found->made - kClockStep) {
      answers.Erase(key);
      return std::nullopt;
    }
    Result result;
    result.verified = true;
    result.user = found->user;
    result.fresh_until = found->fresh_until;
    return result;
  }

  void Note(const Service& service, const Endpoint& endpoint, CircuitBreaker::Change change, absl::string_view cause) {
    if (change == CircuitBreaker::Change::kNone || !options.on_notice) return;
    const std::string who = absl::StrCat("schemes[\"", EscapeText(service.scheme), "\"].validator: ", endpoint.name);
    if (change == CircuitBreaker::Change::kClosed) return options.on_notice(absl::StrCat(who, " answers again"), false);
    options.on_notice(absl::StrCat(who, " does not answer (", cause, "): it is asked again in ",
                                   absl::FormatDuration(service.breaker_open_for)),
                      true);
  }

  // The first endpoint that may be asked now, or what to answer. `notes` are told once the lock is free.
  struct Chosen {
    size_t endpoint;
    uint64_t admitted;
  };
  std::variant<Chosen, Result> Choose(Asked& asked, absl::Time now, std::vector<size_t>* opened)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    absl::Duration wait = asked.service->breaker_open_for;
    std::string why;
    for (size_t i = 0; i < asked.endpoints.size(); ++i) {
      Endpoint& endpoint = asked.endpoints[i];
      const std::optional<uint64_t> admitted = endpoint.breaker.Admit(now);
      if (!admitted) {
        wait = std::min(wait, endpoint.breaker.Left(now));
        absl::StrAppend(&why, why.empty() ? "" : "; ", endpoint.name, ": circuit breaker ",
                        endpoint.breaker.state() == CircuitBreaker::State::kOpen ? "open" : "half-open");
        continue;
      }
      // The last resort is tried in any case. Nobody else is made to find out that an endpoint still cannot be reached.
      const bool probe = endpoint.breaker.state() == CircuitBreaker::State::kHalfOpen;
      if (endpoint.client->Reachable() || (probe && i + 1 == asked.endpoints.size())) return Chosen{i, *admitted};
      if (endpoint.breaker.Unanswered(*admitted, now) == CircuitBreaker::Change::kOpened) opened->push_back(i);
      wait = absl::ZeroDuration();
      absl::StrAppend(&why, why.empty() ? "" : "; ", endpoint.name, ": cannot be reached");
    }
    return Unavailable(std::move(why), wait);
  }

  // On a thread of the client.
  void Land(Call call, absl::StatusOr<Reply> reply) {
    const absl::Time now = options.clock->Now();
    Endpoint& endpoint = call.asked->endpoints[call.endpoint];
    const Service& service = *call.asked->service;
    Result result;
    Outcome outcome = Outcome::kMalformed;
    std::optional<Remembered> remember;
    if (!reply.ok()) {
      outcome = WentUnanswered(reply.status())                             ? Outcome::kUnanswered
                : reply.status().code() == absl::StatusCode::kDataLoss ? Outcome::kMalformed
                                                                           : Outcome::kFailed;
      result = Unavailable(absl::StrCat(endpoint.name, ": ", absl::StatusCodeToString(reply.status().code())));
    } else if (absl::StatusOr<Believed> believed = Read(*reply, call.user); !believed.ok()) {
      result = Unavailable(absl::StrCat(endpoint.name, ": ", believed.status().message()));
    } else if (believed->user == nullptr) {
      outcome = Outcome::kDenied;
      result = Refusal(believed->reason);
      if (call.attempt) call.attempt->Failed();
    } else {
      outcome = Outcome::kAllowed;
      if (call.attempt) call.attempt->Succeeded();
      const absl::Duration lifetime = std::min(believed->lifetime, service.max_lifetime);
      result.verified = true;
      result.user = believed->user;
      result.fresh_until = now + (lifetime > absl::ZeroDuration() ? lifetime : service.max_lifetime);
      if (lifetime > absl::ZeroDuration()) remember = Remembered{believed->user, now, result.fresh_until};
    }
    call.attempt.reset();  // not decided: does not count
    CircuitBreaker::Change change;
    std::vector<std::shared_ptr<Waiter>> waiters;
    {
      MutexLock lock(&mutex);
      // Whoever answers at all is not down: a user name that upsets the service must not take it from all others.
      change = outcome == Outcome::kUnanswered ? endpoint.breaker.Unanswered(call.admitted, now)
                                               : endpoint.breaker.Answered(call.admitted);
      if (change == CircuitBreaker::Change::kOpened) ++breakers_opened;
      ++calls[static_cast<size_t>(outcome)];
      seconds += absl::ToDoubleSeconds(std::max(now - call.begun, absl::ZeroDuration()));
      if (remember) answers.Put(call.key, *std::move(remember));
      --call.asked->running;
      auto of_address = call.asked->by_address.find(call.address_key);
      if (--of_address->second == 0) call.asked->by_address.erase(of_address);
      if (auto flight = flights.find(call.flight); flight != flights.end()) {
        waiters = std::move(flight->second.waiters);
        flights.erase(flight);
      }
    }
    for (const std::shared_ptr<Waiter>& waiter : waiters) {
      waiter->post([waiter, result] {
        if (Callback done = std::exchange(waiter->done, nullptr)) done(result);
      });
    }
    Note(service, endpoint, change, reply.ok() ? "" : absl::StatusCodeToString(reply.status().code()));
    call.asked = nullptr;
    MutexLock lock(&mutex);
    if (--running == 0) idle.SignalAll();
  }

  const Options options;
  const std::string process_key;
  mutable Mutex mutex;
  CondVar idle;
  absl::flat_hash_map<Key, std::shared_ptr<Asked>, DigestHash> services ABSL_GUARDED_BY(mutex);  // by version
  std::vector<std::shared_ptr<Asked>> retired ABSL_GUARDED_BY(mutex);  // no longer in use, and asked until lately
  absl::flat_hash_map<Key, Flight, DigestHash> flights ABSL_GUARDED_BY(mutex);
  LruCache<Key, Remembered, DigestHash> answers ABSL_GUARDED_BY(mutex);
  size_t running ABSL_GUARDED_BY(mutex) = 0;
  std::array<uint64_t, kOutcomes> calls ABSL_GUARDED_BY(mutex){};
  double seconds ABSL_GUARDED_BY(mutex) = 0;
  uint64_t hits ABSL_GUARDED_BY(mutex) = 0;
  uint64_t breakers_opened ABSL_GUARDED_BY(mutex) = 0;
};

Desk::Ticket& Desk::Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    Drop();
    waiter_ = std::move(other.waiter_);
  }
  return *this;
}

void Desk::Ticket::Drop() {
  // The callback may own this ticket's owner: it dies after the ticket has let go.
  if (std::shared_ptr<Waiter> waiter = std::move(waiter_)) {
    waiter->dropped = true;
    Callback detached = std::exchange(waiter->done, nullptr);
  }
}

Desk::Desk(Options options) : state_(std::make_shared<State>(std::move(options))) {}

Desk::~Desk() {
  std::vector<std::shared_ptr<State::Asked>> ended;
  {
    MutexLock lock(&state_->mutex);
    ended = std::move(state_->retired);
    for (auto& [version, asked] : state_->services) ended.push_back(asked);
    state_->services.clear();
  }
  for (const auto& asked : ended) {
    for (State::Endpoint& endpoint : asked->endpoints) endpoint.client->Shutdown();
  }
  MutexLock lock(&state_->mutex);
  while (state_->running != 0) state_->idle.Wait(&state_->mutex);
}

void Desk::Use(const std::vector<ServiceRef>& services) {
  if (!state_->options.clients) return;
  for (const ServiceRef& service : services) {
    {
      MutexLock lock(&state_->mutex);
      if (state_->services.contains(service->version)) continue;
    }
    auto asked = std::make_shared<State::Asked>();
    asked->service = service;
    for (const std::string& name : service->endpoints) {
      asked->endpoints.push_back({name, state_->options.clients(*service, name),
                                  CircuitBreaker(service->breaker_failures, service->breaker_open_for)});
    }
    MutexLock lock(&state_->mutex);
    state_->services.emplace(service->version, std::move(asked));
  }
}

void Desk::KeepOnly(const std::vector<ServiceRef>& services) {
  std::vector<std::shared_ptr<State::Asked>> gone;  // let go of outside the lock
  MutexLock lock(&state_->mutex);
  gone = std::move(state_->retired);
  state_->retired.clear();
  for (auto it = state_->services.begin(); it != state_->services.end();) {
    const bool kept = std::any_of(services.begin(), services.end(),
                                  [&it](const ServiceRef& service) { return service->version == it->first; });
    if (kept) {
      ++it;
      continue;
    }
    gone.push_back(std::move(it->second));
    state_->services.erase(it++);
  }
  // Whoever was asked under the snapshot before still answers.
  for (const auto& asked : gone) {
    if (asked->running > 0) state_->retired.push_back(asked);
  }
}

Desk::Answer Desk::Check(const ServiceRef& service, const credentials::ThrottleOptions& throttle,
                         absl::string_view authorization, absl::string_view address_key, const Facts& facts, Post post,
                         Callback done) {
  return Decide(service, &throttle, authorization, address_key, facts, std::move(post), std::move(done));
}

Desk::Answer Desk::Recheck(const ServiceRef& service, absl::string_view authorization, absl::string_view address_key,
                           const Facts& facts, Post post, Callback done) {
  return Decide(service, nullptr, authorization, address_key, facts, std::move(post), std::move(done));
}

Desk::Answer Desk::Decide(const ServiceRef& service, const credentials::ThrottleOptions* throttle,
                          absl::string_view authorization, absl::string_view address_key, const Facts& facts, Post post,
                          Callback done) {
  if (authorization.empty()) return Refusal(Reason::kNoCredentials);
  credentials::BasicResult parsed = credentials::ParseBasic(authorization);
  if (const auto* error = std::get_if<credentials::BasicError>(&parsed)) return Unreadable(*error);
  Question question = QuestionOf(*service, std::get<credentials::BasicCredentials>(std::move(parsed)), facts);
  State& state = *state_;
  const absl::Time now = state.options.clock->Now();
  const Key key = state.KeyOf(*service, question);
  const Key flight = state.FlightOf(key, address_key);
  auto waiter = std::make_shared<Waiter>();
  waiter->post = std::move(post);
  waiter->done = std::move(done);

  State::Call call;
  std::shared_ptr<Client> client;
  std::vector<size_t> opened;
  std::optional<Result> refused;
  {
    MutexLock lock(&state.mutex);
    if (std::optional<Result> known = state.FromMemory(key, now)) {
      ++state.hits;
      return *std::move(known);
    }
    if (auto found = state.flights.find(flight); found != state.flights.end()) {
      std::vector<std::shared_ptr<Waiter>>& waiters = found->second.waiters;
      // Callers that gave up must not add up while one call is out.
      if (waiters.size() == waiters.capacity()) {
        waiters.erase(std::remove_if(waiters.begin(), waiters.end(), [](const auto& w) { return w->dropped.load(); }),
                      waiters.end());
      }
      waiters.push_back(waiter);
      return Ticket(std::move(waiter));
    }
    if (throttle != nullptr) {
      // Who is known is the service's to say, and only once it is asked.
      auto begun = state.options.throttle->Begin({service->scheme, question.user, address_key, /*known=*/false}, *throttle);
      if (const auto* later = std::get_if<credentials::Throttle::Refused>(&begun)) {
        return Refusal(Reason::kLockedOut, {}, later->retry_after);
      }
      call.attempt.emplace(std::get<credentials::Throttle::Attempt>(std::move(begun)));
    }
    // Many a directory takes an empty password for "anonymous" and says yes.
    if (question.password.empty()) {
      if (call.attempt) call.attempt->Failed();
      return Refusal(Reason::kWrongPassword);
    }
    auto asked = state.services.find(service->version);
    if (asked == state.services.end()) return Unavailable("the service is not in use");
    // The last quarter is for those who ask nothing yet: one address cannot keep out all others.
    const uint32_t most = service->max_concurrent_calls;
    if (asked->second->running >= (asked->second->by_address.contains(address_key) ? most - most / 4 : most)) {
      return Refusal(Reason::kVerifierOverloaded, absl::StrCat(asked->second->running, " calls are under way"), kRetryAfter);
    }
    call.asked = asked->second;
    auto chosen = state.Choose(*call.asked, now, &opened);
    state.breakers_opened += opened.size();
    if (Result* none = std::get_if<Result>(&chosen)) {
      refused = std::move(*none);
    } else {
      call.endpoint = std::get<State::Chosen>(chosen).endpoint;
      call.admitted = std::get<State::Chosen>(chosen).admitted;
      call.key = key;
      call.flight = flight;
      call.user = question.user;
      call.address_key = std::string(address_key);
      call.begun = now;
      client = call.asked->endpoints[call.endpoint].client;
      ++call.asked->running;
      ++call.asked->by_address[call.address_key];
      ++state.running;
      state.flights[flight].waiters.push_back(waiter);
    }
  }
  for (size_t i : opened) {
    state.Note(*service, call.asked->endpoints[i], CircuitBreaker::Change::kOpened, "cannot be reached");
  }
  if (refused) return *std::move(refused);
  client->Ask(std::move(question), service->deadline,
              [state = state_, call = std::move(call)](absl::StatusOr<Reply> reply) mutable {
                state->Land(std::move(call), std::move(reply));
              });
  return Ticket(std::move(waiter));
}

absl::string_view Desk::OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kAllowed: return "allowed";
    case Outcome::kDenied: return "denied";
    case Outcome::kMalformed: return "malformed";
    case Outcome::kUnanswered: return "unanswered";
    case Outcome::kFailed: return "failed";
  }
  return "";
}

uint64_t Desk::calls(Outcome outcome) const {
  MutexLock lock(&state_->mutex);
  return state_->calls[static_cast<size_t>(outcome)];
}

double Desk::call_seconds() const {
  MutexLock lock(&state_->mutex);
  return state_->seconds;
}

uint64_t Desk::memory_hits() const {
  MutexLock lock(&state_->mutex);
  return state_->hits;
}

uint64_t Desk::breakers_opened() const {
  MutexLock lock(&state_->mutex);
  return state_->breakers_opened;
}

Desk::Sizes Desk::sizes() const {
  MutexLock lock(&state_->mutex);
  Sizes sizes;
  sizes.running = state_->running;
  sizes.answers = state_->answers.size();
  for (const auto& [version, asked] : state_->services) {
    for (const State::Endpoint& endpoint : asked->endpoints) {
      sizes.open_breakers += endpoint.breaker.state() != CircuitBreaker::State::kClosed;
    }
  }
  return sizes;
}

std::vector<Desk::EndpointState> Desk::Endpoints(const Service& service) const {
  const absl::Time now = state_->options.clock->Now();
  std::vector<EndpointState> out;
  MutexLock lock(&state_->mutex);
  auto asked = state_->services.find(service.version);
  if (asked == state_->services.end()) return out;
  for (const State::Endpoint& endpoint : asked->second->endpoints) {
    EndpointState& one = out.emplace_back();
    one.endpoint = endpoint.name;
    switch (endpoint.breaker.state()) {
      case CircuitBreaker::State::kClosed: one.asked = true, one.text = "closed"; break;
      case CircuitBreaker::State::kHalfOpen: one.text = "half-open"; break;
      case CircuitBreaker::State::kOpen:
        one.asked = endpoint.breaker.Left(now) == absl::ZeroDuration();
        one.text = one.asked ? "open, the next request probes"
                             : absl::StrCat("open for ", absl::FormatDuration(absl::Ceil(endpoint.breaker.Left(now), absl::Seconds(1))), " more");
        break;
    }
  }
  return out;
}

}  // namespace gatehouse::delegate
