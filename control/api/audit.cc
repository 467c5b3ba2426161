#include "control/api/audit.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "control/validate/validate.h"
#include "gateway/base/escape.h"
#include "gateway/credentials/throttle.h"

namespace gatehouse::api {
namespace {

constexpr size_t kMaxDetailBytes = 2000;
constexpr size_t kMaxMessageBytes = 1024;  // one that was refused may be longer

v1::Event EventOf(const std::string& actor, const std::string& peer, std::string method) {
  v1::Event event;
  event.set_type(v1::Event::AUDIT);
  event.set_actor(actor.empty() ? "unknown" : actor);
  event.set_peer(peer);
  const absl::Time now = absl::Now();
  event.mutable_time()->set_seconds(absl::ToUnixSeconds(now));
  event.mutable_time()->set_nanos(static_cast<int32_t>(absl::ToUnixNanos(now) % 1'000'000'000));
  event.mutable_audit()->set_method(std::move(method));
  return event;
}

}  // namespace

std::string RefusalText(const absl::Status& why) {
  if (why.message().empty()) return absl::StatusCodeToString(why.code());
  const absl::string_view text = Beginning(why.message(), kMaxDetailBytes);
  // What is no text in a message's string makes that message one that cannot be read. Violations are a line each.
  const std::string line = absl::StrReplaceAll(IsValidUtf8(text) ? std::string(text) : EscapeText(text), {{"\n", "; "}});
  return std::string(Beginning(line, kMaxDetailBytes));
}

namespace {

v1::Event Refuse(v1::Event event, absl::string_view what, const absl::Status& why) {
  event.set_outcome(v1::Event::REFUSED);
  event.set_detail(absl::StrCat(what, ": ", RefusalText(why)));
  return event;
}

// `~ routes["orders"] require: ...`
void AddLines(const std::vector<v1::Change>& changes, v1::AuditFacts* facts) {
  size_t left_out = 0;
  for (const v1::Change& change : changes) {
    const char* sign = change.action() == v1::Change::ADDED ? "+" : change.action() == v1::Change::REMOVED ? "-" : "~";
    const std::string head = absl::StrCat(sign, " ", validate::PathOf(change.id().kind(), change.id().name()));
    const int lines = std::max(change.details_size(), 1);
    for (int i = 0; i < lines; ++i) {
      if (facts->changes_size() >= kMaxAuditLines) {
        ++left_out;
      } else {
        facts->add_changes(i < change.details_size() ? absl::StrCat(head, " ", change.details(i)) : head);
      }
    }
  }
  if (left_out > 0) facts->add_changes(absl::StrCat("and ", left_out, " more"));
}

}  // namespace

v1::Event AuditEvent(const Caller& who, const absl::StatusOr<Outcome>& result, const WriteOptions& options) {
  v1::Event event = EventOf(who.name, who.peer, options.method);
  v1::AuditFacts& facts = *event.mutable_audit();
  facts.set_dry_run(options.dry_run);
  facts.set_message(std::string(Beginning(options.message, kMaxMessageBytes)));
  const std::string what = absl::StrCat(options.method, options.dry_run ? " (dry run)" : "");
  if (!result.ok()) return Refuse(std::move(event), what, result.status());
  event.set_outcome(v1::Event::NOTICE);
  event.set_revision(result->revision);
  event.set_previous_revision(result->previous);
  event.set_detail(absl::StrCat(what, ": ", result->changes.size(), " changes"));
  AddLines(result->changes, &facts);
  return event;
}

v1::Event ActEvent(const store::Entry& entry, uint64_t revision) {
  v1::Event event = EventOf(entry.actor, entry.peer, entry.method);
  event.set_outcome(v1::Event::NOTICE);
  event.set_revision(revision);
  event.set_previous_revision(revision);
  const std::string effects = absl::StrJoin(entry.effects, "; ");
  event.set_detail(absl::StrCat(entry.method, ": ", Beginning(effects, kMaxDetailBytes)));
  v1::AuditFacts& facts = *event.mutable_audit();
  for (const std::string& effect : entry.effects) {
    if (facts.changes_size() < kMaxAuditLines) facts.add_changes(effect);
  }
  return event;
}

v1::Event RefusalEvent(const Caller& who, absl::string_view method, const absl::Status& why) {
  absl::ConsumePrefix(&method, "/gatehouse.v1.");
  const std::string name = EscapeText(method.substr(0, 200));
  return Refuse(EventOf(who.name, who.peer, name), name, why);
}

std::string AccountOf(const Caller& who) {
  return who.name.empty() ? credentials::AddressText(credentials::AddressKey(HostOf(who.peer))) : who.name;
}

bool Refusals::Bucket::Take(Rate rate, Instant now) {
  const double passed = std::chrono::duration<double>(now - refilled).count();
  tokens = std::min(rate.burst, tokens + std::max(passed, 0.0) * rate.per_second);
  refilled = now;
  if (tokens < 1) return false;
  tokens -= 1;
  return true;
}

std::optional<uint64_t> Refusals::Take(const Caller& who, Instant now) {
  const std::string account = AccountOf(who);
  MutexLock lock(&mutex_);
  if (all_.refilled == Instant()) all_ = Bucket{limits_.of_all.burst, now};
  Bucket* bucket = callers_.Find(account);
  if (bucket == nullptr) bucket = &callers_.Put(account, Bucket{limits_.of_one.burst, now});
  if (!bucket->Take(limits_.of_one, now) || !all_.Take(limits_.of_all, now)) {
    ++left_out_;
    return std::nullopt;
  }
  return std::exchange(left_out_, 0);
}

}  // namespace gatehouse::api
