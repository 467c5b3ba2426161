// FakeGateway takes every configuration, unless it is told to refuse, and serves nothing: for tests of who brings one.
//
// Threading: thread-safe.
#pragma once

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/server/gateway.h"

namespace gatehouse::server {

class FakeGateway final : public Gateway {
 public:
  void Install(config::SnapshotRef snapshot, absl::AnyInvocable<void(absl::Status)> done) override {
    absl::Status status;
    {
      MutexLock lock(&mutex_);
      ++installs_;
      if (refusals_ > 0) {
        --refusals_;
        status = absl::UnavailableError("listeners[\"edge\"].address: in use");
      } else {
        current_ = std::move(snapshot);
      }
    }
    done(status);
  }
  void Replace(config::SnapshotRef expected, config::SnapshotRef snapshot, absl::AnyInvocable<void(absl::Status)> done) override {
    if (current() == expected) return Install(std::move(snapshot), std::move(done));
    done(absl::AbortedError("another configuration came into force meanwhile"));
    MutexLock lock(&mutex_);
    ++overtaken_;
    changed_.SignalAll();
  }
  config::SnapshotRef current() const override {
    MutexLock lock(&mutex_);
    return current_;
  }
  void Report(events::Event event) override {
    MutexLock lock(&mutex_);
    events_.push_back(std::move(event));
    changed_.SignalAll();
  }
  void ConfirmNewest(absl::Time) override {
    MutexLock lock(&mutex_);
    ++confirmed_;
  }
  absl::Duration snapshot_age() const override { return absl::ZeroDuration(); }
  Counts counts() const override { return {}; }
  void SetTicketKeys(const std::vector<tls::TicketKey>&) override {}
  RevocationDesk& revocation() override { std::abort(); }  // not asked by who only renews
  LockoutDesk& lockouts() override { std::abort(); }
  const delegate::Desk& validators() const override { std::abort(); }
  const upstream::Directory& upstreams() const override { std::abort(); }
  std::vector<BoundListener> listeners() const override { return {}; }
  bool Drain(absl::Duration) override { return true; }
  std::string NotReady() const override { return ""; }
  std::string MetricsText() const override { return ""; }
  const Memory& memory() const override { return memory_; }

  // The details of the first `n` events, once they are there.
  std::vector<std::string> Details(size_t n) {
    MutexLock lock(&mutex_);
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (events_.size() < n && absl::Now() < end) changed_.WaitFor(&mutex_, absl::Milliseconds(50));
    std::vector<std::string> out;
    for (const events::Event& event : events_) out.push_back(event.facts->detail);
    return out;
  }
  int installs() const {
    MutexLock lock(&mutex_);
    return installs_;
  }
  int confirmed() const {
    MutexLock lock(&mutex_);
    return confirmed_;
  }
  // The next installations.
  void Refuse(int installations) {
    MutexLock lock(&mutex_);
    refusals_ = installations;
  }
  // Waits for a replacement that came too late.
  bool Overtaken() {
    MutexLock lock(&mutex_);
    while (overtaken_ == 0) {
      if (!changed_.WaitFor(&mutex_, absl::Seconds(20))) return false;
    }
    return true;
  }

 private:
  Memory memory_{.presented = PresentedChains(), .uses = {1, absl::UnixEpoch()}};
  mutable Mutex mutex_;
  CondVar changed_;
  config::SnapshotRef current_ ABSL_GUARDED_BY(mutex_);
  std::vector<events::Event> events_ ABSL_GUARDED_BY(mutex_);
  int installs_ ABSL_GUARDED_BY(mutex_) = 0;
  int refusals_ ABSL_GUARDED_BY(mutex_) = 0;
  int confirmed_ ABSL_GUARDED_BY(mutex_) = 0;
  int overtaken_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace gatehouse::server
