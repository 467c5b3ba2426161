#include "control/api/desk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/api/bindings.h"
#include "control/api/deed.h"
#include "gateway/base/status.h"

namespace gatehouse::api {

absl::StatusOr<int> PageSize(int asked, int fallback) {
  if (asked < 0) return absl::InvalidArgumentError("page_size: must not be negative");
  return asked == 0 ? fallback : std::min(asked, 1000);
}

void Desk::Start(const grpc::CallbackServerContext& context, absl::string_view method, const Message* request,
                 const std::shared_ptr<Ending>& ending, absl::AnyInvocable<void(const Caller& by)> work) const {
  ending->SetDeadline(context.deadline());
  const absl::StatusOr<Caller> by = guard(context, absl::StrCat(service, method), request);
  if (!by.ok()) return ending->Finish(by.status());
  executor.Submit(*by, [ending, work = std::move(work)](absl::StatusOr<Caller> now) mutable {
    if (!now.ok()) return ending->Finish(now.status());
    work(*now);
  });
}

void Desk::Read(const grpc::CallbackServerContext& context, absl::string_view method, const Message* request,
                const std::shared_ptr<Ending>& ending, absl::AnyInvocable<absl::Status()> work) const {
  Start(context, method, request, ending,
        [ending, work = std::move(work)](const Caller&) mutable { ending->Finish(work()); });
}

void Desk::Change(const grpc::CallbackServerContext& context, const char* method, const Message* request,
                  const std::shared_ptr<Ending>& ending, const v1::WaitOptions& wait, std::string message,
                  std::function<absl::Status(Draft&)> edit, std::function<ForceSlot(Outcome&)> fill) const {
  Start(context, method, request, ending,
        [self = *this, method, ending, &wait, message = std::move(message), edit = std::move(edit),
         fill = std::move(fill)](const Caller& by) {
          WriteOptions options;
          options.message = message;
          self.Write(by, method, ending, wait, options, edit, fill);
        });
}

WriteOptions Desk::OptionsOf(const Caller& by, absl::string_view method, WriteOptions options) const {
  absl::string_view full = service;
  absl::ConsumePrefix(&full, "/gatehouse.v1.");
  options.actor = by.name;
  options.peer = by.peer;
  options.method = absl::StrCat(full, method);
  options.begin = [by] { return Begin(by); };
  return options;
}

void Desk::Write(const Caller& by, const char* method, const std::shared_ptr<Ending>& ending,
                 const v1::WaitOptions& wait, const WriteOptions& given,
                 const std::function<absl::Status(Draft&)>& edit, const std::function<ForceSlot(Outcome&)>& fill,
                 const std::function<absl::Status(const absl::Status&)>& explain) const {
  const WriteOptions options = OptionsOf(by, method, given);
  auto outcome = changes.Write(options, [&](Draft& draft) -> absl::Status {
    // Now that it is our turn no other write takes a role away.
    GH_ASSIGN_OR_RETURN(const Roles roles, RolesNow(by));
    GH_RETURN_IF_ERROR(edit(draft));
    return CheckRights(draft, roles);
  });
  if (!outcome.ok() && explain != nullptr) outcome = explain(outcome.status());
  ledger.Wrote(by, outcome, options);
  if (!outcome.ok()) return ending->Finish(outcome.status());
  const ForceSlot slot = fill(*outcome);
  v1::WaitOptions meant = wait;
  if (options.dry_run) meant.set_wait(false);
  // Looked up now: the response is gone once the call has ended.
  v1::ForceStatus* force = meant.wait() ? slot() : nullptr;
  ending->FinishInForce(changes.publisher(), outcome->revision, meant, force);
}

}  // namespace gatehouse::api
