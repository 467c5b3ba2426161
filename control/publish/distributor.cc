#include "control/publish/distributor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/names.h"

namespace gatehouse::publish {
namespace {

using Instant = std::chrono::steady_clock::time_point;

constexpr int kMaxViolations = 100;
constexpr size_t kMaxText = 1024;

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

// At most kMaxText octets, cut between characters.
std::string Cut(const std::string& text) {
  if (text.size() <= kMaxText) return text;
  size_t n = kMaxText;
  while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) --n;
  return absl::StrCat(text.substr(0, n), "…");
}

}  // namespace

const std::string& Published::Wire() const {
  std::call_once(once_, [this] { wire_ = config::WireOf(resources); });
  return wire_;
}

// What is known of one gateway, connected or not.
struct Distributor::Gateway {
  uint64_t session = 0;                // 0: not connected
  std::shared_ptr<Endpoint> endpoint;  // null: not connected
  std::string version;
  std::string peer;
  bool exclusive = false;
  absl::Time since;
  absl::Time last_seen;
  absl::Time certificate_end = absl::InfiniteFuture();
  std::optional<v1::GatewayLoad> load;

  bool holds = false;         // a revision that we made, which may be 0
  uint64_t acknowledged = 0;  // that revision; without `holds` one that it says it has
  std::string held_digest;    // of `acknowledged`; empty when a delta must not be made from it
  Instant acknowledged_at;
  std::optional<uint64_t> refused;
  std::vector<v1::Violation> violations;
  std::shared_ptr<const Published> under_way;  // kUpdating

  bool Has(uint64_t revision) const { return holds && acknowledged == revision; }
  bool HasAtLeast(uint64_t revision) const { return session != 0 && holds && acknowledged >= revision; }
  bool RefusedAtLeast(uint64_t revision) const { return session != 0 && refused.has_value() && *refused >= revision; }
};

// What a transition wants done once the lock is gone.
struct Distributor::Step {
  std::vector<std::pair<std::shared_ptr<Endpoint>, Update>> deliveries;
  std::vector<std::pair<std::shared_ptr<Endpoint>, absl::Status>> closings;
  std::vector<v1::Event> events;
  std::vector<std::pair<std::shared_ptr<Endpoint>, uint64_t>> confirmations;
  bool status_changed = false;
};

struct Distributor::Listener::Line {
  Mutex mutex;  // held while `changed` runs
  std::function<void()> changed ABSL_GUARDED_BY(mutex);
};

struct Distributor::Wait {
  uint64_t revision = 0;
  std::set<std::string> gateways;  // connected at some time since the wait began
  absl::AnyInvocable<void(v1::ForceStatus)> done;
};

struct Distributor::Core {
  Core(std::string incarnation_, const Clock& clock_, Alarms& alarms_, Notify notify_, DistributorOptions options_)
      : incarnation(std::move(incarnation_)),
        clock(clock_),
        alarms(alarms_),
        notify(std::move(notify_)),
        options(options_) {}

  // One revision that was the newest once: what it changed, so that a delta from before it can be made.
  struct Past {
    uint64_t revision = 0;
    std::string digest;
    std::set<config::ResourceKey> touched;
  };

  const std::string incarnation;
  const Clock& clock;
  Alarms& alarms;
  const Notify notify;
  const DistributorOptions options;

  // Serialises Publish: comparing and digesting a big set happens without `mutex`.
  Mutex publish_mutex;
  config::ResourceMap newest ABSL_GUARDED_BY(publish_mutex);

  mutable Mutex mutex;
  std::shared_ptr<const Published> head ABSL_GUARDED_BY(mutex);
  std::deque<Past> history ABSL_GUARDED_BY(mutex);
  size_t remembered ABSL_GUARDED_BY(mutex) = 0;  // keys in all of `history`
  std::map<uint64_t, Instant> published_at ABSL_GUARDED_BY(mutex);
  std::map<uint64_t, std::shared_ptr<const v1::Delta>> deltas ABSL_GUARDED_BY(mutex);  // to head, by origin
  size_t deltas_bytes ABSL_GUARDED_BY(mutex) = 0;
  std::map<std::string, Gateway> gateways ABSL_GUARDED_BY(mutex);
  std::map<uint64_t, std::string> sessions ABSL_GUARDED_BY(mutex);
  uint64_t next_session ABSL_GUARDED_BY(mutex) = 1;
  std::map<uint64_t, Wait> waits ABSL_GUARDED_BY(mutex);
  uint64_t next_wait ABSL_GUARDED_BY(mutex) = 1;
  std::vector<std::weak_ptr<Listener::Line>> listeners ABSL_GUARDED_BY(mutex);

  void Do(Step step) {
    for (auto& [endpoint, why] : step.closings) endpoint->Close(why);
    for (auto& [endpoint, update] : step.deliveries) endpoint->Deliver(std::move(update));
    for (v1::Event& event : step.events) {
      SetTime(clock.Now(), event.mutable_time());
      notify(std::move(event));
    }
    for (auto& [endpoint, revision] : step.confirmations) endpoint->Confirm(revision);
    if (!step.status_changed) return;
    std::vector<std::shared_ptr<Listener::Line>> lines;
    {
      MutexLock lock(&mutex);
      for (auto it = listeners.begin(); it != listeners.end();) {
        std::shared_ptr<Listener::Line> line = it->lock();
        it = line == nullptr ? listeners.erase(it) : std::next(it);
        if (line != nullptr) lines.push_back(std::move(line));
      }
    }
    for (const std::shared_ptr<Listener::Line>& line : lines) {
      MutexLock lock(&line->mutex);
      if (line->changed) line->changed();
    }
  }

  // The heart beats as long as this lives.
  static void Beat(const std::weak_ptr<Core>& weak) {
    std::shared_ptr<Core> core = weak.lock();
    if (core == nullptr) return;
    Step step;
    {
      MutexLock lock(&core->mutex);
      for (const auto& [name, gateway] : core->gateways) core->ConfirmNewest(gateway, &step);
    }
    core->Do(std::move(step));
    core->alarms.After(core->options.heartbeat, [weak] { Beat(weak); });
  }

  static v1::Event Note(v1::Event::Type type, const std::string& gateway, std::string detail) {
    v1::Event event;
    event.set_type(type);
    event.set_outcome(v1::Event::NOTICE);
    event.set_gateway(gateway);
    event.set_detail(std::move(detail));
    return event;
  }

  void Remember(Past past) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    remembered += past.touched.size();
    history.push_back(std::move(past));
    for (;;) {
      // No delta leads to the oldest one.
      remembered -= std::exchange(history.front().touched, {}).size();
      if (history.size() <= options.max_history && remembered <= options.max_touched) return;
      history.pop_front();
    }
  }
  // Null: it never was the newest here, or too long ago.
  const Past* Remembered(uint64_t revision) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    auto it = std::find_if(history.begin(), history.end(), [&](const Past& p) { return p.revision == revision; });
    return it == history.end() ? nullptr : &*it;
  }
  std::shared_ptr<const v1::Delta> DeltaFrom(uint64_t revision, const std::string& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Advance(Gateway& gateway, Step* step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // If it has it.
  void ConfirmNewest(const Gateway& gateway, Step* step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (gateway.endpoint == nullptr || head == nullptr || !gateway.Has(head->revision)) return;
    step->confirmations.emplace_back(gateway.endpoint, head->revision);
  }
  bool Settled(const Wait& wait) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  v1::ForceStatus Report(const Wait& wait) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void EndWait(std::map<uint64_t, Wait>::iterator it) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void SettleWaits() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  bool MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
};

// Null when there is none: unknown origin, other content under that number, too big, or no room.
std::shared_ptr<const v1::Delta> Distributor::Core::DeltaFrom(uint64_t revision, const std::string& digest) {
  auto origin = std::find_if(history.begin(), history.end(), [&](const Past& p) { return p.revision == revision; });
  if (origin == history.end() || digest.empty() || origin->digest != digest) return nullptr;
  auto [it, fresh] = deltas.try_emplace(revision);
  if (!fresh) return it->second;
  const size_t most = std::min(options.max_delta_bytes, options.max_deltas_bytes - deltas_bytes);
  std::set<config::ResourceKey> touched;
  for (auto past = std::next(origin); past != history.end(); ++past) {
    touched.insert(past->touched.begin(), past->touched.end());
  }
  std::optional<v1::ConfigSet> changed = config::Pick(head->resources, touched, most);
  if (!changed) return nullptr;
  auto delta = std::make_shared<v1::Delta>();
  delta->set_from_revision(revision);
  delta->set_to_revision(head->revision);
  delta->set_incarnation(head->incarnation);
  delta->set_digest(std::string(AsView(head->digest)));
  *delta->mutable_changed() = *std::move(changed);
  // What was touched and is not in the set any more was removed.
  for (const config::ResourceKey& key : touched) {
    if (head->resources.count(key) != 0) continue;
    v1::ResourceId* id = delta->add_removed();
    id->set_kind(static_cast<v1::Kind>(key.first));
    id->set_name(key.second);
  }
  const size_t bytes = delta->ByteSizeLong();
  if (bytes > most) return nullptr;
  deltas_bytes += bytes;
  return it->second = std::move(delta);
}

// kIdle and behind: start the update to the newest revision.
void Distributor::Core::Advance(Gateway& gateway, Step* step) {
  if (gateway.endpoint == nullptr || head == nullptr || gateway.under_way != nullptr) return;
  if (gateway.Has(head->revision) || gateway.refused == head->revision) return;
  gateway.under_way = head;
  step->deliveries.emplace_back(gateway.endpoint, Update{head, DeltaFrom(gateway.acknowledged, gateway.held_digest)});
}

bool Distributor::Core::Settled(const Wait& wait) const {
  for (const std::string& name : wait.gateways) {
    auto it = gateways.find(name);
    if (it == gateways.end()) continue;
    const Gateway& gateway = it->second;
    if (gateway.HasAtLeast(wait.revision)) continue;
    if (gateway.RefusedAtLeast(wait.revision) && gateway.under_way == nullptr) continue;
    return false;
  }
  return true;
}

v1::ForceStatus Distributor::Core::Report(const Wait& wait) const {
  v1::ForceStatus status;
  Instant last{};
  for (const std::string& name : wait.gateways) {
    status.set_gateways(status.gateways() + 1);
    auto it = gateways.find(name);
    const Gateway* gateway = it == gateways.end() ? nullptr : &it->second;
    if (gateway != nullptr && gateway->HasAtLeast(wait.revision)) {
      status.set_in_force(status.in_force() + 1);
      if (gateway->acknowledged == wait.revision) last = std::max(last, gateway->acknowledged_at);
      continue;
    }
    std::string why = "no answer yet";
    if (gateway == nullptr || gateway->session == 0) {
      why = "disconnected";
    } else if (gateway->RefusedAtLeast(wait.revision)) {
      why = "refused it";
      for (const v1::Violation& v : gateway->violations) absl::StrAppend(&why, "; ", v.path(), ": ", v.message());
    }
    status.add_lagging(absl::StrCat(name, ": ", why));
  }
  auto published = published_at.find(wait.revision);
  if (published != published_at.end() && last > published->second) {
    status.set_micros(static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(last - published->second).count()));
  }
  return status;
}

void Distributor::Core::EndWait(std::map<uint64_t, Wait>::iterator it) {
  Wait wait = std::move(it->second);
  waits.erase(it);
  v1::ForceStatus status = Report(wait);
  alarms.After(absl::ZeroDuration(),
               [done = std::move(wait.done), status = std::move(status)]() mutable { done(std::move(status)); });
}

void Distributor::Core::SettleWaits() {
  for (auto it = waits.begin(); it != waits.end();) {
    auto next = std::next(it);
    if (Settled(it->second)) EndWait(it);
    it = next;
  }
}

// Forgets the gateway that has been gone longest, when there are too many.
bool Distributor::Core::MakeRoom() {
  if (gateways.size() < options.max_gateways) return true;
  auto oldest = gateways.end();
  for (auto it = gateways.begin(); it != gateways.end(); ++it) {
    if (it->second.session != 0) continue;
    if (oldest == gateways.end() || it->second.since < oldest->second.since) oldest = it;
  }
  if (oldest == gateways.end()) return false;
  gateways.erase(oldest);
  return true;
}

Distributor::Distributor(std::string incarnation, const Clock& clock, Alarms& alarms, Notify notify,
                         DistributorOptions options)
    : core_(std::make_shared<Core>(std::move(incarnation), clock, alarms, std::move(notify), options)) {
  alarms.After(options.heartbeat, [weak = std::weak_ptr<Core>(core_)] { Core::Beat(weak); });
}

Distributor::~Distributor() {
  MutexLock lock(&core_->mutex);
  core_->waits.clear();
}

void Distributor::Publish(uint64_t revision, config::ResourceMap resources) {
  Core& core = *core_;
  const Instant now = std::chrono::steady_clock::now();
  Step step;
  {
    MutexLock publishing(&core.publish_mutex);
    {
      MutexLock lock(&core.mutex);
      if (core.head != nullptr && revision <= core.head->revision) return;
    }
    config::SetDifference difference = config::Difference(core.newest, resources);
    auto published = std::make_shared<Published>();
    published->revision = revision;
    published->incarnation = core.incarnation;
    published->digest = resources.digest();
    core.newest = resources;
    published->resources = std::move(resources);

    MutexLock lock(&core.mutex);
    Core::Past past{revision, std::string(AsView(published->digest)), std::move(difference.changed)};
    past.touched.merge(difference.removed);
    core.Remember(std::move(past));
    core.published_at[revision] = now;
    if (core.published_at.size() > core.options.max_history) core.published_at.erase(core.published_at.begin());
    core.deltas.clear();
    core.deltas_bytes = 0;
    core.head = std::move(published);
    for (auto& [name, gateway] : core.gateways) core.Advance(gateway, &step);
    step.status_changed = true;
  }
  core.Do(std::move(step));
}

absl::StatusOr<std::unique_ptr<Session>> Distributor::Connect(GatewayHello hello, std::shared_ptr<Endpoint> endpoint) {
  Core& core = *core_;
  if (!IsGatewayName(hello.name)) {
    return absl::InvalidArgumentError("hello.gateway: a name is [A-Za-z0-9][A-Za-z0-9._-]{0,62}");
  }
  Step step;
  uint64_t id = 0;
  {
    MutexLock lock(&core.mutex);
    auto it = core.gateways.find(hello.name);
    if (it == core.gateways.end()) {
      if (!core.MakeRoom()) return absl::ResourceExhaustedError("too many gateways are connected");
      it = core.gateways.emplace(hello.name, Gateway{}).first;
    }
    Gateway& gateway = it->second;
    if (gateway.session != 0 && gateway.exclusive) {
      return absl::AlreadyExistsError(
          absl::StrCat("hello.gateway: ", hello.name, " is the gateway embedded in the control plane; choose a name"));
    }
    if (gateway.session != 0) {
      core.sessions.erase(gateway.session);
      step.closings.emplace_back(gateway.endpoint,
                                 absl::AbortedError(absl::StrCat("gateway ", hello.name, " connected anew from ",
                                                                 hello.peer)));
      step.events.push_back(Core::Note(v1::Event::GATEWAY, hello.name,
                                       absl::StrCat("replaced: connected anew from ", hello.peer)));
    }
    id = core.next_session++;
    core.sessions[id] = hello.name;
    gateway = Gateway{};
    gateway.session = id;
    gateway.endpoint = std::move(endpoint);
    gateway.version = Cut(hello.version);
    gateway.peer = hello.peer;
    gateway.exclusive = hello.exclusive;
    gateway.certificate_end = hello.certificate_end;
    gateway.since = gateway.last_seen = core.clock.Now();
    step.status_changed = true;
    if (hello.incarnation == core.incarnation) {
      const Core::Past* past = core.Remembered(hello.revision);
      const bool older = core.head == nullptr || hello.revision < core.head->revision;
      // Other content under that number, or a revision that we never made, is another history's (a store that was restored): it
      // counts for nothing. Of an old one that is not remembered nobody knows: it is shown, but not in force until ours is taken.
      gateway.holds = past != nullptr && past->digest == hello.digest;
      if (gateway.holds || (past == nullptr && older)) gateway.acknowledged = hello.revision;
      if (gateway.holds) gateway.held_digest = hello.digest;
    }
    step.events.push_back(Core::Note(
        v1::Event::GATEWAY, hello.name,
        absl::StrCat("connected from ", hello.peer, ", holds revision ", hello.revision)));
    for (auto& [unused, wait] : core.waits) wait.gateways.insert(hello.name);
    core.Advance(gateway, &step);
    core.ConfirmNewest(gateway, &step);
    core.SettleWaits();
  }
  core.Do(std::move(step));
  return std::unique_ptr<Session>(new Session(*this, id));
}

void Distributor::Answer(uint64_t session, uint64_t revision,
                         const google::protobuf::RepeatedPtrField<v1::Violation>* refused) {
  Core& core = *core_;
  Step step;
  {
    MutexLock lock(&core.mutex);
    auto named = core.sessions.find(session);
    if (named == core.sessions.end()) return;
    Gateway& gateway = core.gateways[named->second];
    gateway.last_seen = core.clock.Now();
    std::shared_ptr<const Published> answered = std::exchange(gateway.under_way, nullptr);
    // What was refused for something that was missing may be taken after all, as long as it is the newest.
    if (answered == nullptr && refused == nullptr && gateway.refused == revision && core.head->revision == revision) {
      answered = core.head;
    }
    if (answered == nullptr || answered->revision != revision) {
      gateway.under_way = std::move(answered);
      return;
    }
    step.status_changed = true;
    if (refused == nullptr) {
      gateway.holds = true;
      gateway.acknowledged = revision;
      gateway.acknowledged_at = std::chrono::steady_clock::now();
      gateway.held_digest = std::string(AsView(answered->digest));
      gateway.refused.reset();
      gateway.violations.clear();
    } else {
      gateway.refused = revision;
      gateway.held_digest.clear();  // the next update is whole: what it holds may not be what we think
      gateway.violations.clear();
      std::string detail = absl::StrCat("revision ", revision, " refused, ", gateway.acknowledged, " stays in force");
      for (const v1::Violation& violation : *refused) {
        if (gateway.violations.size() >= kMaxViolations) break;
        v1::Violation& kept = gateway.violations.emplace_back();
        kept.set_path(Cut(violation.path()));
        kept.set_message(Cut(violation.message()));
        if (detail.size() < kMaxText) absl::StrAppend(&detail, "; ", kept.path(), ": ", kept.message());
      }
      v1::Event event = Core::Note(v1::Event::CONFIG, named->second, Cut(detail));
      event.set_outcome(v1::Event::REFUSED);
      event.set_revision(revision);
      event.set_previous_revision(gateway.acknowledged);
      step.events.push_back(std::move(event));
    }
    core.Advance(gateway, &step);
    core.SettleWaits();
  }
  core.Do(std::move(step));
}

void Distributor::Disconnect(uint64_t session) {
  Core& core = *core_;
  Step step;
  {
    MutexLock lock(&core.mutex);
    auto named = core.sessions.find(session);
    if (named == core.sessions.end()) return;
    Gateway& gateway = core.gateways[named->second];
    gateway.session = 0;
    gateway.endpoint = nullptr;
    gateway.under_way = nullptr;
    gateway.since = core.clock.Now();
    step.status_changed = true;
    step.events.push_back(Core::Note(v1::Event::GATEWAY, named->second, "disconnected"));
    core.sessions.erase(named);
  }
  core.Do(std::move(step));
}

absl::Status Distributor::Forget(const std::string& name) {
  Core& core = *core_;
  Step step;
  {
    MutexLock lock(&core.mutex);
    auto it = core.gateways.find(name);
    if (it == core.gateways.end()) return absl::NotFoundError("gateway: there is none of that name");
    if (it->second.exclusive) return absl::FailedPreconditionError("gateway: it is the one in the control plane's process");
    if (it->second.session != 0) {
      core.sessions.erase(it->second.session);
      step.closings.emplace_back(it->second.endpoint, absl::PermissionDeniedError("the gateway was removed"));
    }
    step.events.push_back(Core::Note(v1::Event::GATEWAY, name, "removed"));
    step.status_changed = true;
    core.gateways.erase(it);
    core.SettleWaits();
  }
  core.Do(std::move(step));
  return absl::OkStatus();
}

void Distributor::Report(uint64_t session, v1::GatewayLoad load) {
  Core& core = *core_;
  MutexLock lock(&core.mutex);
  auto named = core.sessions.find(session);
  if (named == core.sessions.end()) return;
  Gateway& gateway = core.gateways[named->second];
  gateway.last_seen = core.clock.Now();
  gateway.load = std::move(load);
}

std::unique_ptr<Distributor::Listener> Distributor::Listen(std::function<void()> changed) {
  auto line = std::make_shared<Listener::Line>();
  line->changed = std::move(changed);
  MutexLock lock(&core_->mutex);
  core_->listeners.push_back(line);
  return std::unique_ptr<Listener>(new Listener(std::move(line)));
}

Distributor::Listener::~Listener() {
  MutexLock lock(&line_->mutex);
  line_->changed = nullptr;
}

void Distributor::WaitInForce(uint64_t revision, absl::Duration timeout,
                              absl::AnyInvocable<void(v1::ForceStatus)> done) {
  uint64_t id = 0;
  {
    MutexLock lock(&core_->mutex);
    id = core_->next_wait++;
    Wait& wait = core_->waits[id];
    wait.revision = revision;
    wait.done = std::move(done);
    for (const auto& [name, gateway] : core_->gateways) {
      if (gateway.session != 0) wait.gateways.insert(name);
    }
    if (core_->Settled(wait)) {
      core_->EndWait(core_->waits.find(id));
      return;
    }
  }
  core_->alarms.After(timeout, [weak = std::weak_ptr<Core>(core_), id] {
    std::shared_ptr<Core> core = weak.lock();
    if (core == nullptr) return;
    MutexLock lock(&core->mutex);
    auto it = core->waits.find(id);
    if (it != core->waits.end()) core->EndWait(it);
  });
}

uint64_t Distributor::revision() const {
  MutexLock lock(&core_->mutex);
  return core_->head == nullptr ? 0 : core_->head->revision;
}

std::vector<v1::GatewayStatus> Distributor::Gateways() const {
  std::vector<v1::GatewayStatus> all;
  MutexLock lock(&core_->mutex);
  for (const auto& [name, gateway] : core_->gateways) {
    v1::GatewayStatus& status = all.emplace_back();
    status.set_name(name);
    status.set_version(gateway.version);
    status.set_connected(gateway.session != 0);
    if (gateway.session != 0) SetTime(gateway.since, status.mutable_connected_since());
    status.set_acknowledged_revision(gateway.acknowledged);
    status.set_refused_revision(gateway.refused.value_or(0));
    for (const v1::Violation& violation : gateway.violations) *status.add_violations() = violation;
    status.set_peer(gateway.peer);
    if (gateway.load) *status.mutable_load() = *gateway.load;
    SetTime(gateway.last_seen, status.mutable_last_seen());
    if (gateway.certificate_end != absl::InfiniteFuture()) {
      SetTime(gateway.certificate_end, status.mutable_certificate_not_after());
    }
  }
  return all;
}

}  // namespace gatehouse::publish
