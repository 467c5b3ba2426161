#include "control/api/desk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace gatehouse::api {

v1::Event AuditEvent(absl::string_view method, const std::string& actor, const absl::StatusOr<Outcome>& result) {
  v1::Event event;
  event.set_type(v1::Event::AUDIT);
  event.set_actor(actor);
  const absl::Time now = absl::Now();
  event.mutable_time()->set_seconds(absl::ToUnixSeconds(now));
  event.mutable_time()->set_nanos(static_cast<int32_t>(absl::ToUnixNanos(now) % 1'000'000'000));
  if (!result.ok()) {
    event.set_outcome(v1::Event::REFUSED);
    event.set_detail(absl::StrCat(method, ": ", result.status().message()));
    return event;
  }
  event.set_outcome(v1::Event::NOTICE);
  event.set_revision(result->revision);
  event.set_detail(absl::StrCat(method, ": ", result->changes.size(), " changes"));
  return event;
}

absl::StatusOr<int> PageSize(int asked, int fallback) {
  if (asked < 0) return absl::InvalidArgumentError("page_size: must not be negative");
  return asked == 0 ? fallback : std::min(asked, 1000);
}

void Desk::Start(const grpc::CallbackServerContext& context, absl::string_view method,
                 const std::shared_ptr<Ending>& ending,
                 absl::AnyInvocable<void(const std::string& actor)> work) const {
  auto actor = guard(context, absl::StrCat(service, method));
  if (!actor.ok()) {
    audit(AuditEvent(method, "unknown", actor.status()));
    return ending->Finish(actor.status());
  }
  const bool queued =
      executor.Submit([actor = *std::move(actor), work = std::move(work)]() mutable { work(actor); });
  if (!queued) ending->Finish(absl::ResourceExhaustedError("too many calls at once; try again"));
}

void Desk::Read(const grpc::CallbackServerContext& context, absl::string_view method,
                const std::shared_ptr<Ending>& ending, absl::AnyInvocable<absl::Status()> work) const {
  Start(context, method, ending,
        [ending, work = std::move(work)](const std::string&) mutable { ending->Finish(work()); });
}

void Desk::Change(const grpc::CallbackServerContext& context, const char* method,
                  const std::shared_ptr<Ending>& ending, const v1::WaitOptions& wait, std::string message,
                  std::function<absl::Status(Draft&)> edit, std::function<ForceSlot(Outcome&)> fill) const {
  Start(context, method, ending,
        [self = *this, method, ending, &wait, message = std::move(message), edit = std::move(edit),
         fill = std::move(fill)](const std::string& actor) {
          WriteOptions options;
          options.message = message;
          self.Write(actor, method, ending, wait, options, edit, fill);
        });
}

void Desk::Write(const std::string& actor, const char* method, const std::shared_ptr<Ending>& ending,
                 const v1::WaitOptions& wait, const WriteOptions& given,
                 const std::function<absl::Status(Draft&)>& edit,
                 const std::function<ForceSlot(Outcome&)>& fill) const {
  WriteOptions options = given;
  options.actor = actor;
  auto outcome = changes.Write(options, edit);
  audit(AuditEvent(options.dry_run ? absl::StrCat(method, " (dry run)") : method, actor, outcome));
  if (!outcome.ok()) return ending->Finish(outcome.status());
  const ForceSlot slot = fill(*outcome);
  v1::WaitOptions meant = wait;
  if (options.dry_run) meant.set_wait(false);
  // Looked up now: the response is gone once the call has ended.
  v1::ForceStatus* force = meant.wait() ? slot() : nullptr;
  ending->FinishInForce(changes.publisher(), outcome->revision, meant, force);
}

}  // namespace gatehouse::api
