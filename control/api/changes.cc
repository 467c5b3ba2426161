#include "control/api/changes.h"

#include "absl/strings/str_cat.h"
#include "control/api/bindings.h"
#include "control/api/resource_fields.h"
#include "gateway/base/status.h"

namespace gatehouse::api {
namespace {

constexpr size_t kMaxMessageBytes = 1024;

v1::Change MakeChange(const store::ResourceKey& key, v1::Change::Action action, std::vector<std::string> details) {
  v1::Change change;
  change.mutable_id()->set_kind(static_cast<v1::Kind>(key.first));
  change.mutable_id()->set_name(key.second);
  change.set_action(action);
  for (std::string& line : details) change.add_details(std::move(line));
  return change;
}

// A difference, as changes for people and as a transaction for the store.
std::vector<v1::Change> Compare(const config::ResourceMap& from, const config::ResourceMap& to, absl::Time now,
                                store::Transaction* transaction) {
  std::vector<v1::Change> changes;
  config::ResourceMap::Compare(from, to, [&](const store::ResourceKey& key, const config::ResourceRef* before,
                                             const config::ResourceRef* after) {
    if (after == nullptr) {
      changes.push_back(MakeChange(key, v1::Change::REMOVED, {}));
      transaction->deletions.push_back(key);
      return;
    }
    changes.push_back(MakeChange(key, before == nullptr ? v1::Change::ADDED : v1::Change::CHANGED,
                                 Details(before == nullptr ? nullptr : before->get(), **after, now)));
    transaction->upserts.push_back(*after);
  });
  return changes;
}

std::string TextOf(const v1::Violation& warning) { return absl::StrCat(warning.path(), ": ", warning.message()); }

// Whoever changes one thing hears what comes of it, and not each time what everybody was told before.
void Sort(std::vector<v1::Violation> warnings, const std::optional<absl::flat_hash_set<std::string>>& known, Outcome* outcome) {
  absl::flat_hash_set<std::string> changed;
  for (const v1::Change& change : outcome->changes) changed.insert(validate::PathOf(change.id().kind(), change.id().name()));
  for (v1::Violation& warning : warnings) {
    const size_t end = warning.path().find("\"]");
    const bool concerned = changed.contains(end == std::string::npos ? warning.path() : warning.path().substr(0, end + 2));
    const bool stood = known.has_value() && known->contains(TextOf(warning));
    (stood && !concerned ? outcome->standing : outcome->warnings).push_back(std::move(warning));
  }
}

}  // namespace

const v1::Resource* Draft::Find(const store::ResourceKey& key) const {
  auto it = resources_.find(key);
  return it == resources_.end() ? nullptr : it->second.get();
}

void Draft::Put(v1::Resource resource) {
  // From what is stored, and not from the draft, which may have been cleared.
  auto old = base_->resources.find(store::KeyOf(resource));
  KeepSecrets(old == base_->resources.end() ? nullptr : old->second.get(), &resource);
  PutAsIs(std::move(resource));
}

void Draft::PutAsIs(v1::Resource resource) {
  const store::ResourceKey key = store::KeyOf(resource);
  SetEtag("", &resource);
  resources_[key] = std::make_shared<const v1::Resource>(std::move(resource));
}

void Draft::Clear(bool bindings_too) {
  config::ResourceMap kept;
  for (auto it = resources_.lower_bound({v1::BINDING, ""}); it != resources_.end() && it->first.first == v1::BINDING; ++it) {
    if (!bindings_too) kept[it->first] = it->second;
  }
  resources_ = std::move(kept);
}

absl::Status Changes::Start() {
  MutexLock writing(&writing_);
  GH_ASSIGN_OR_RETURN(Secret key, store_.KeyFor("etags"));
  etags_ = Etags(std::move(key));
  GH_ASSIGN_OR_RETURN(store::StateRef state, store_.Load(0));
  publisher_.Publish(state->revision, state->resources);
  if (bindings_.changed != nullptr) bindings_.changed(BindingsOf(*state));
  MutexLock lock(&mutex_);
  current_ = std::move(state);
  return absl::OkStatus();
}

store::StateRef Changes::Current() const {
  MutexLock lock(&mutex_);
  return current_;
}

std::vector<v1::Change> Changes::Differences(const store::State& from, const store::State& to) const {
  store::Transaction unused;
  return Compare(from.resources, to.resources, clock_.Now(), &unused);
}

void Changes::Listen(std::function<void()> heard) {
  MutexLock lock(&hearing_);
  heard_ = std::move(heard);
}

absl::StatusOr<Outcome> Changes::Write(const WriteOptions& options, const std::function<absl::Status(Draft&)>& edit) {
  if (options.message.size() > kMaxMessageBytes) {
    return absl::InvalidArgumentError(absl::StrCat("message: ", options.message.size(), " octets; at most ",
                                                   kMaxMessageBytes));
  }
  MutexLock writing(&writing_);
  const store::StateRef base = Current();
  if (options.expected_revision.has_value() && *options.expected_revision != base->revision) {
    return absl::AbortedError(absl::StrCat("expected_revision: the current revision is ", base->revision, ", not ",
                                           *options.expected_revision));
  }
  Draft draft(base, etags_);
  GH_RETURN_IF_ERROR(edit(draft));

  store::Transaction transaction;
  transaction.time = clock_.Now();
  Outcome outcome;
  outcome.revision = base->revision;
  outcome.previous = base->revision;
  outcome.changes = Compare(base->resources, draft.resources(), transaction.time, &transaction);
  auto next = std::make_shared<store::State>();
  next->revision = base->revision + 1;
  next->resources = draft.resources();
  validate::Findings findings = validator_(next->resources, next->revision);
  for (v1::Violation& violation : CheckBindings(*base, *next, bindings_.owned_elsewhere)) {
    findings.violations.push_back(std::move(violation));
  }
  if (!findings.violations.empty()) return validate::Refusal(findings.violations);
  absl::flat_hash_set<std::string> warnings;
  for (const v1::Violation& warning : findings.warnings) warnings.insert(TextOf(warning));
  Sort(std::move(findings.warnings), known_warnings_, &outcome);
  outcome.state = base;
  if (options.dry_run || outcome.changes.empty()) return outcome;

  transaction.expected_revision = base->revision;
  transaction.actor = options.actor;
  transaction.peer = options.peer;
  transaction.method = options.method;
  transaction.message = options.message;
  transaction.changes = outcome.changes;
  if (options.begin != nullptr) GH_RETURN_IF_ERROR(options.begin());
  GH_ASSIGN_OR_RETURN(outcome.revision, store_.Commit(transaction));
  outcome.state = next;
  known_warnings_ = std::move(warnings);
  {
    MutexLock lock(&mutex_);
    current_ = next;
  }
  // Before anything else: whoever lost a role has lost it when this returns.
  if (bindings_.changed != nullptr && !config::ResourceMap::SameKind(base->resources, next->resources, v1::BINDING)) {
    bindings_.changed(BindingsOf(*next));
  }
  publisher_.Publish(outcome.revision, next->resources);
  MutexLock hearing(&hearing_);
  if (heard_) heard_();
  return outcome;
}

}  // namespace gatehouse::api
