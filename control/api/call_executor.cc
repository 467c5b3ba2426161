#include "control/api/call_executor.h"

#include <memory>
#include <utility>

#include "control/api/audit.h"

namespace gatehouse::api {

void CallExecutor::Submit(const Caller& by, Work work) {
  using Fate = FairExecutor::Fate;
  auto given = std::make_shared<std::pair<Caller, Work>>(by, std::move(work));
  const auto run = [given](Fate fate) {
    auto& [caller, wanted] = *given;
    absl::StatusOr<Roles> roles = absl::ResourceExhaustedError("too many calls at once; try again");
    if (fate == Fate::kRun) roles = RolesNow(caller);
    if (!roles.ok()) return wanted(roles.status());
    caller.roles = *roles;
    wanted(std::move(caller));
  };
  if (!executor_.Submit(AccountOf(by), run)) run(Fate::kDropped);
}

}  // namespace gatehouse::api
