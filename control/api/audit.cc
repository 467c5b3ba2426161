#include "control/api/audit.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "control/validate/validate.h"
#include "gateway/base/escape.h"

namespace gatehouse::api {
namespace {

// Of one caller, and of all.
constexpr double kPerSecond = 1, kBurst = 10;
constexpr double kAllPerSecond = 20, kAllBurst = 200;
constexpr size_t kMaxDetailBytes = 2000;

v1::Event EventOf(const Caller& who) {
  v1::Event event;
  event.set_type(v1::Event::AUDIT);
  event.set_actor(who.name.empty() ? "unknown" : who.name);
  event.set_peer(who.peer);
  const absl::Time now = absl::Now();
  event.mutable_time()->set_seconds(absl::ToUnixSeconds(now));
  event.mutable_time()->set_nanos(static_cast<int32_t>(absl::ToUnixNanos(now) % 1'000'000'000));
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

v1::Event AuditEvent(absl::string_view method, const Caller& who, const absl::StatusOr<Outcome>& result,
                     const WriteOptions& options) {
  v1::Event event = EventOf(who);
  v1::AuditFacts& facts = *event.mutable_audit();
  facts.set_method(options.method.empty() ? std::string(method) : options.method);
  facts.set_dry_run(options.dry_run);
  facts.set_message(options.message.substr(0, 1024));
  if (!result.ok()) {
    event.set_outcome(v1::Event::REFUSED);
    event.set_detail(absl::StrCat(method, ": ", absl::string_view(result.status().message()).substr(0, kMaxDetailBytes)));
    return event;
  }
  event.set_outcome(v1::Event::NOTICE);
  event.set_revision(result->revision);
  event.set_previous_revision(result->previous);
  event.set_detail(absl::StrCat(method, ": ", result->changes.size(), " changes"));
  AddLines(result->changes, &facts);
  return event;
}

bool Refusals::Bucket::Take(double per_second, double burst, Instant now) {
  const double passed = std::chrono::duration<double>(now - refilled).count();
  tokens = std::min(burst, tokens + std::max(passed, 0.0) * per_second);
  refilled = now;
  if (tokens < 1) return false;
  tokens -= 1;
  return true;
}

void Refusals::Tell(const Caller& who, absl::string_view method, const absl::Status& why, Instant now) {
  const std::string account = who.name.empty() ? who.peer.substr(0, who.peer.rfind(':')) : who.name;
  uint64_t left_out = 0;
  {
    MutexLock lock(&mutex_);
    if (all_.refilled == Instant()) all_ = Bucket{kAllBurst, now};
    Bucket* bucket = callers_.Find(account);
    if (bucket == nullptr) {
      bucket = &callers_.Put(account, Bucket{kBurst, now});
    }
    if (!bucket->Take(kPerSecond, kBurst, now) || !all_.Take(kAllPerSecond, kAllBurst, now)) {
      ++left_out_;
      return;
    }
    left_out = std::exchange(left_out_, 0);
  }
  v1::Event event = EventOf(who);
  event.set_outcome(v1::Event::REFUSED);
  absl::string_view short_method = method;
  absl::ConsumePrefix(&short_method, "/gatehouse.v1.");
  event.mutable_audit()->set_method(EscapeText(short_method.substr(0, 200)));
  std::string detail =
      absl::StrCat(event.audit().method(), ": ", absl::string_view(why.message()).substr(0, kMaxDetailBytes));
  if (left_out > 0) absl::StrAppend(&detail, "; ", left_out, " refusals before this one are not told");
  event.set_detail(std::move(detail));
  audit_(std::move(event));
}

}  // namespace gatehouse::api
