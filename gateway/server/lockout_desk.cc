#include "gateway/server/lockout_desk.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/base/steady.h"

namespace gatehouse::server {
namespace {

constexpr char kPlace[] = "gatehouse lockouts 1";
constexpr absl::Duration kPeriod = absl::Seconds(1);
constexpr absl::Duration kLeast = absl::Milliseconds(100);  // between two writes
// A write takes at most this part of the time.
constexpr int64_t kShare = 20;

}  // namespace

LockoutDesk::LockoutDesk(const Options& options)
    : clock_(*options.clock),
      throttle_(options.capacity, *options.clock, [this](const credentials::ThrottleAlarm& alarm) { Hear(alarm); }) {}

absl::StatusOr<std::unique_ptr<LockoutDesk>> LockoutDesk::Open(Options options) {
  std::unique_ptr<LockoutDesk> desk(new LockoutDesk(options));
  if (options.file.empty()) return desk;
  GH_ASSIGN_OR_RETURN(Secret key, LoadOrCreateKey(options.key_file));
  desk->file_.emplace(std::move(options.file), kPlace, SecretBox(std::move(key)));
  absl::StatusOr<std::string> saved = desk->file_->Load();
  if (absl::IsNotFound(saved.status())) return desk;
  const absl::Status restored = saved.ok() ? desk->throttle_.Restore(*saved) : saved.status();
  if (!restored.ok()) {
    desk->damage_ = absl::StrCat("the saved lock-outs are not used, guessers begin anew: ", restored.message(),
                                 "; put aside as ", desk->file_->PutAside());
  }
  return desk;
}

LockoutDesk::~LockoutDesk() { Stop(); }

void LockoutDesk::Start(OnEvent on_event) {
  on_event_ = std::move(on_event);
  saver_ = std::thread([this] { Run(); });
  if (!damage_.empty()) Tell(events::Outcome::kNotice, Reason::kNone, "", damage_);
}

void LockoutDesk::Stop() {
  if (!saver_.joinable()) return;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  saver_.join();
  Save();
}

void LockoutDesk::Run() {
  absl::Duration rest = kPeriod;
  for (;;) {
    bool urgent = false;
    {
      MutexLock lock(&mutex_);
      if (!urgent_ && !stopping_) wake_.WaitFor(&mutex_, rest);
      if (stopping_) return;
      urgent = std::exchange(urgent_, false);
    }
    throttle_.Tick();
    rest = kPeriod;
    if (!urgent && throttle_.changes() == saved_) continue;
    const SteadyTime begun = SteadyNow();
    Save();
    const absl::Duration pause = std::clamp(Since(begun) * kShare, kLeast, absl::Minutes(1));
    rest = std::max(kPeriod, pause);
    MutexLock lock(&mutex_);
    const SteadyTime until = SteadyAfter(pause);
    while (!stopping_ && SteadyNow() < until) wake_.WaitFor(&mutex_, Until(until));
  }
}

void LockoutDesk::Save() {
  if (!file_.has_value()) return;
  const uint64_t changes = throttle_.changes();  // before: what is counted meanwhile is saved next time
  const absl::Status status = file_->Save(throttle_.Save());
  if (status.ok()) {
    saved_ = changes;
    failing_ = false;
    return;
  }
  save_failures_.fetch_add(1, std::memory_order_relaxed);
  if (!std::exchange(failing_, true)) {
    Tell(events::Outcome::kNotice, Reason::kNone, "",
         absl::StrCat("lock-outs are not saved and will not outlive a restart: ", status.message()));
  }
}

size_t LockoutDesk::Clear(const credentials::Throttle::Filter& filter,
                          const credentials::Throttle::OptionsOf& options_of, const std::string& what) {
  const size_t cleared = throttle_.Clear(filter, options_of);
  Tell(events::Outcome::kNotice, Reason::kNone, "", absl::StrCat("lock-outs were cleared: ", what, "; ", cleared, " entries"));
  SaveSoon();
  return cleared;
}

uint64_t LockoutDesk::unsaved() const { return file_.has_value() ? throttle_.changes() - saved_.load() : 0; }

void LockoutDesk::SaveSoon() {
  MutexLock lock(&mutex_);
  urgent_ = true;
  wake_.SignalAll();
}

void LockoutDesk::Hear(const credentials::ThrottleAlarm& alarm) {
  using Kind = credentials::ThrottleAlarm::Kind;
  switch (alarm.kind) {
    case Kind::kPairLocked:
      Tell(events::Outcome::kRefused, Reason::kLockedOut, alarm.scheme,
           absl::StrCat("user \"", EscapeText(alarm.user), "\" from ", credentials::AddressText(alarm.address_key),
                        " is locked out for ", absl::FormatDuration(alarm.lockout), " after ", alarm.failures,
                        " failures"));
      break;
    case Kind::kAddressLocked:
      Tell(events::Outcome::kRefused, Reason::kLockedOut, alarm.scheme,
           absl::StrCat("address ", credentials::AddressText(alarm.address_key), " is locked out for ",
                        absl::FormatDuration(alarm.lockout), ": ", alarm.failures, " users fail from there"));
      break;
    case Kind::kSprayBegan:
      Tell(events::Outcome::kRefused, Reason::kNone, alarm.scheme,
           absl::StrFormat("password spray: about %.0f users fail, %.1f tries each, from %.0f addresses", alarm.users,
                           alarm.tries / alarm.users, alarm.addresses));
      return;
    case Kind::kSprayEnded:
      Tell(events::Outcome::kNotice, Reason::kNone, alarm.scheme, "the password spray is over");
      return;
  }
  SaveSoon();
}

void LockoutDesk::Tell(events::Outcome outcome, Reason reason, const std::string& scheme, std::string detail) {
  if (!on_event_) return;
  events::Event event;
  event.kind = events::EventKind::kGuessing;
  event.outcome = outcome;
  event.reason = reason;
  event.time = clock_.Now();
  events::Facts& facts = event.Own();
  if (!scheme.empty()) facts.schemes.push_back(scheme);
  facts.detail = std::move(detail);
  on_event_(std::move(event));
}

}  // namespace gatehouse::server
