#include "control/publish/ticket_key_ring.h"

#include <deque>
#include <map>
#include <utility>

#include "gateway/base/digest.h"
#include "gateway/base/mutex.h"
#include "gateway/base/secret.h"

namespace gatehouse::publish {
namespace {

constexpr size_t kNameSize = 16;
constexpr size_t kSecretSize = 64;

struct Key {
  std::string name;
  Secret secret;
  absl::Time made;
};

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

}  // namespace

struct TicketKeyRing::Core {
  Core(absl::Duration period_, const Clock& clock_, Alarms& alarms_) : period(period_), clock(clock_), alarms(alarms_) {}

  // Makes a key and drops those that are accepted no longer.
  void Turn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const absl::Time now = clock.Now();
    keys.push_front({RandomBytes(kNameSize), Secret(RandomBytes(kSecretSize)), now});
    while (keys.size() > 1 && keys.back().made + 2 * period <= now) keys.pop_back();
  }
  v1::TicketKeys Message() const ABSL_SHARED_LOCKS_REQUIRED(mutex) {
    v1::TicketKeys message;
    for (const Key& key : keys) {
      v1::TicketKey& out = *message.add_keys();
      out.set_name(key.name);
      out.set_secret(std::string(key.secret.Reveal()));
      SetTime(key.made + period, out.mutable_issue_until());
      SetTime(key.made + 2 * period, out.mutable_accept_until());
    }
    return message;
  }
  void GiveAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (auto& [id, give] : lines) give(Message());
  }
  static void Schedule(const std::shared_ptr<Core>& core) {
    core->alarms.After(core->period, [weak = std::weak_ptr<Core>(core)] {
      std::shared_ptr<Core> self = weak.lock();
      if (self == nullptr) return;
      {
        MutexLock lock(&self->mutex);
        if (self->closed) return;
        self->Turn();
        self->GiveAll();
      }
      Schedule(self);
    });
  }

  const absl::Duration period;
  const Clock& clock;
  Alarms& alarms;
  Mutex mutex;
  std::deque<Key> keys ABSL_GUARDED_BY(mutex);  // newest first
  std::map<uint64_t, Give> lines ABSL_GUARDED_BY(mutex);
  uint64_t next ABSL_GUARDED_BY(mutex) = 1;
  bool closed ABSL_GUARDED_BY(mutex) = false;
};

TicketKeyRing::TicketKeyRing(absl::Duration period, const Clock& clock, Alarms& alarms)
    : core_(std::make_shared<Core>(period, clock, alarms)) {
  {
    MutexLock lock(&core_->mutex);
    core_->Turn();
  }
  Core::Schedule(core_);
}

TicketKeyRing::~TicketKeyRing() {
  MutexLock lock(&core_->mutex);
  core_->closed = true;
  core_->keys.clear();
}

std::unique_ptr<TicketKeyRing::Line> TicketKeyRing::Add(Give give) {
  MutexLock lock(&core_->mutex);
  give(core_->Message());
  const uint64_t id = core_->next++;
  core_->lines.emplace(id, std::move(give));
  return std::unique_ptr<Line>(new Line(core_, id));
}

void TicketKeyRing::Replace() {
  MutexLock lock(&core_->mutex);
  core_->keys.clear();
  core_->Turn();
  core_->GiveAll();
}

TicketKeyRing::Line::~Line() {
  MutexLock lock(&core_->mutex);
  core_->lines.erase(id_);
}

}  // namespace gatehouse::publish
