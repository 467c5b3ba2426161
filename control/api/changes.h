// Changes is the one writer of the configuration: load -> edit -> keep absent secrets -> validate -> commit -> publish.
//
// Ownership:  store and publisher outlive this.
// Threading:  thread-safe; Write blocks on the store and on other writers: never on a gRPC thread.
// Errors:     INVALID_ARGUMENT (with every violation), ABORTED (revision, etag), NOT_FOUND, ALREADY_EXISTS, the store's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "control/api/etags.h"
#include "control/api/publisher.h"
#include "control/store/store.h"
#include "control/validate/validate.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

// Draft is a configuration in the making; it starts as what is stored.
class Draft {
 public:
  // REQUIRES: etags outlives this.
  Draft(store::StateRef base, const Etags& etags) : etags_(etags), base_(std::move(base)), resources_(base_->resources) {}

  // The resource as the draft has it, secrets and all; null when there is none.
  const v1::Resource* Find(const store::ResourceKey& key) const;
  // Put adds or replaces. Secrets that `resource` leaves out are taken from the one it replaces; its etag is dropped.
  void Put(v1::Resource resource);
  // PutAsIs replaces, and takes all as it is given: for edits that start from what Find returned.
  void PutAsIs(v1::Resource resource);
  void Remove(const store::ResourceKey& key) { resources_.erase(key); }
  // Everything, or everything but bindings.
  void Clear(bool bindings_too);

  const Etags& etags() const { return etags_; }
  const store::State& base() const { return *base_; }
  const config::ResourceMap& resources() const { return resources_; }

 private:
  const Etags& etags_;
  const store::StateRef base_;
  config::ResourceMap resources_;
};

struct WriteOptions {
  std::string actor;
  std::string peer;    // where the actor is
  std::string method;  // "ConfigService/Apply"
  std::string message;
  std::optional<uint64_t> expected_revision;  // absent: any
  bool dry_run = false;
  std::function<absl::Status()> begin;  // asked right before the commit; an error is the write's. Null: nobody is asked
};

struct Outcome {
  uint64_t revision = 0;  // current now; dry run: what was compared with
  uint64_t previous = 0;  // what it was made from
  std::vector<v1::Change> changes;
  std::vector<v1::Violation> warnings;  // about what was changed, or new with it
  std::vector<v1::Violation> standing;  // those of before, about something else
  store::StateRef state;  // after the change
};

// Bindings stay in the control plane; this is who hears of them there.
struct BindingRules {
  bool owned_elsewhere = true;  // see CheckBindings
  std::function<void(std::vector<v1::Binding>)> changed;
};

class Changes {
 public:
  Changes(store::Store& store, validate::Validator validator, Publisher& publisher, const Clock& clock)
      : store_(store), validator_(std::move(validator)), publisher_(publisher), clock_(clock) {}

  // SetBindingRules: before Start.
  void SetBindingRules(BindingRules rules) { bindings_ = std::move(rules); }
  // Start loads the head and publishes it. Call once, before anything else.
  absl::Status Start();
  // What is stored now, secrets and all.
  store::StateRef Current() const;
  // Write runs `edit` on a draft and makes a revision of it, if it differs. Nothing changes on an error.
  absl::StatusOr<Outcome> Write(const WriteOptions& options, const std::function<absl::Status(Draft&)>& edit);
  // What leads from one state to another, for people.
  std::vector<v1::Change> Differences(const store::State& from, const store::State& to) const;
  // Listen has `heard` called after each revision, quickly, by whoever made it; null: nobody. It is not called any more
  // once Listen has returned with another.
  void Listen(std::function<void()> heard);
  // Those of the store.
  const Etags& etags() const { return etags_; }
  Publisher& publisher() { return publisher_; }
  store::Store& store() { return store_; }

 private:
  store::Store& store_;
  const validate::Validator validator_;
  Publisher& publisher_;
  const Clock& clock_;
  BindingRules bindings_;
  Etags etags_;    // since Start
  Mutex writing_;  // one writer at a time; taken before mutex_
  // The warnings of the current state; absent until the first write since the start.
  std::optional<absl::flat_hash_set<std::string>> known_warnings_ ABSL_GUARDED_BY(writing_);
  mutable Mutex mutex_;
  store::StateRef current_ ABSL_GUARDED_BY(mutex_);
  Mutex hearing_;
  std::function<void()> heard_ ABSL_GUARDED_BY(hearing_);
};

}  // namespace gatehouse::api
