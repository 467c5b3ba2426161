// Renewal keeps a gateway in step with the files of this machine that its configuration names (ServerCertificate.files): it
// builds with what they hold, watches them, and when they change builds the same revision again and installs it.
//
// A pair that cannot be read or does not fit leaves the one before in place; an event names the file and the cause, once.
// Without one before the configuration is refused; who was refused so can wait for the files to come, and who was refused an
// address until it is free.
//
// Ownership:  gateway and clock outlive it.
// Threading:  thread-safe. Rebuilds run on a thread of its own.
// Units:      files are looked at every `period`; what the gateway refused is tried again after one period and up to ten.
// Errors:     told as CONFIG events.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/config/build.h"
#include "gateway/server/gateway.h"
#include "gateway/server/watched_files.h"

namespace gatehouse::server {

class Renewal {
 public:
  Renewal(Gateway* gateway, const Clock& clock, absl::Duration period = absl::Seconds(1));

  // Build compiles `resources` with this machine's files, sharing what it can with what is in force.
  config::BuildResult Build(const config::ResourceMap& resources, uint64_t revision, const std::string& incarnation) const;
  // Install brings what was built of `resources` into force, waits until it is, and follows its files from then on. Returns
  // what is wrong; nothing when it is in force.
  std::vector<config::Violation> Install(const config::BuildResult& built, const config::ResourceMap& resources);
  // Await has `again` called when one of the files that `resources` name changes, until something comes into force or the next
  // call: they were refused, and the files may be why. Of what the gateway refused, and no build, it is also called after a
  // while, once: an address that somebody has may be free then. While it is refused again and again, each while is longer.
  void Await(const config::ResourceMap& resources, std::function<void()> again);
  // GiveUp ends an Await.
  void GiveUp();

 private:
  struct Held {
    config::SnapshotRef snapshot;
    config::ResourceMap resources;
  };
  void Follow(const config::SnapshotRef& snapshot, const config::ResourceMap& resources);
  void Refresh();

  Gateway* const gateway_;
  const Clock& clock_;
  const absl::Duration period_;
  Mutex mutex_;
  absl::Duration pause_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteDuration();  // before what was refused is tried again
  std::shared_ptr<const Held> held_ ABSL_GUARDED_BY(mutex_);  // in force, or was until now; null: it names no files
  std::set<std::string> told_;  // troubles that last; the watcher's thread
  WatchedFiles watched_;        // last: its thread ends first
};

}  // namespace gatehouse::server
