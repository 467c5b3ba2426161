#include "control/api/ledger.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/api/deed.h"

namespace gatehouse::api {

void Ledger::Wrote(const Caller& by, const absl::StatusOr<Outcome>& result, const WriteOptions& options) {
  if (by.deed != nullptr && !by.deed->Tell()) return;
  v1::Event event = AuditEvent(by, result, options);
  result.ok() ? tell_(std::move(event)) : TellRefusal(by, std::move(event), result.status());
}

absl::Status Ledger::Append(const Caller& by, const Act& act) {
  store::Entry entry;
  entry.time = clock_.Now();
  entry.actor = !act.actor.empty() ? act.actor : by.name.empty() ? "unknown" : by.name;
  entry.peer = by.peer;
  entry.method = act.method;
  entry.effects = act.effects;
  if (act.routine) entry.kind = store::Entry::Kind::kRoutine;
  const absl::StatusOr<uint64_t> revision = store_.Append(entry);
  if (by.deed != nullptr) by.deed->Tell();
  v1::Event event = ActEvent(entry, revision.value_or(0));
  if (!revision.ok()) {
    event.set_detail(absl::StrCat(event.detail(), "; the history could not be written: ", revision.status().message()));
  }
  tell_(std::move(event));
  if (revision.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("it was done, and the history could not be written: ", revision.status().message()));
}

void Ledger::Refused(const Caller& who, absl::string_view method, const absl::Status& why) {
  if (who.deed != nullptr && !who.deed->Tell()) return;
  TellRefusal(who, RefusalEvent(who, method, why), why);
}

void Ledger::TellRefusal(const Caller& who, v1::Event event, const absl::Status& why) {
  // Who has a role, and is refused for want of another, is none.
  const bool stranger = who.name.empty() || (!who.admitted && who.roles == 0);
  const std::optional<uint64_t> left_out = (stranger ? strangers_ : known_).Take(who, std::chrono::steady_clock::now());
  if (!left_out.has_value()) return;
  store::Entry entry;
  entry.kind = stranger ? store::Entry::Kind::kStrangersRefusal : store::Entry::Kind::kRefusal;
  entry.time = clock_.Now();
  entry.actor = event.actor();
  entry.peer = event.peer();
  entry.method = event.audit().method();
  entry.account = AccountOf(who);
  entry.refusal = absl::StrCat(event.audit().dry_run() ? "(dry run) " : "", RefusalText(why));
  entry.left_out = *left_out;
  queue_.Put(std::move(entry));
  if (*left_out > 0) {
    event.set_detail(absl::StrCat(event.detail(), "; ", *left_out, " refusals before this one are not told"));
  }
  tell_(std::move(event));
}

}  // namespace gatehouse::api
