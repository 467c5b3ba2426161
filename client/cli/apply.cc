#include <optional>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/lib/status.h"
#include "client/yaml/reader.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

// A refusal names the resource; add the file and line where it was written.
int FailWithPlaces(Context& context, const absl::Status& status, const client::Reader& reader) {
  v1::Violations placed;
  for (v1::Violation violation : client::ViolationsOf(status)) {
    if (const client::Place* place = reader.PlaceOf(violation.path()); place != nullptr) {
      violation.set_message(absl::StrCat(violation.message(), "  (", place->source, ":", place->line, ")"));
    }
    *placed.add_violations() = std::move(violation);
  }
  if (placed.violations().empty()) return Fail(context, status);
  return Fail(context, client::WithViolations(absl::Status(status.code(), status.message()), placed));
}

// Shows what would change; the exit code when that is all.
std::optional<int> ShowPlan(Context& context, const v1::ApplyResponse& plan, bool dry_run) {
  const Style style(context.color), error_style(context.error_color);
  context.out() << ChangesText(plan.changes(), style);
  for (const v1::Violation& warning : plan.warnings()) context.err() << WarningText(warning, error_style);
  context.out().flush();
  if (plan.changes().empty()) {
    context.out() << "nothing to change at revision " << plan.revision() << "\n";
    return kOk;
  }
  if (!dry_run) return std::nullopt;
  context.out() << "dry run: nothing was changed at revision " << plan.revision() << "\n";
  return kOk;
}

int TellForce(Context& context, const v1::ApplyResponse& done, bool waited) {
  context.out() << ForceText(done.revision(), waited, done.force());
  return waited && done.force().in_force() < done.force().gateways() ? kNotInForce : kOk;
}

}  // namespace

int Apply(Context& context, const ApplyFlags& flags) {
  const Style error_style(context.error_color);
  client::Reader reader;
  for (const std::string& file : flags.files) {
    absl::StatusOr<std::string> text = ReadInput(context, file);
    if (!text.ok()) return Fail(context, text.status());
    reader.Read(*text, file, FolderOf(file));
  }
  if (!reader.problems().empty()) {
    context.err() << error_style.Red("error:") << " nothing was changed\n";
    for (const client::Problem& problem : reader.problems()) context.err() << "  " << problem.ToString() << "\n";
    return kRefused;
  }
  if (reader.set().ByteSizeLong() == 0 && flags.replace_all) {
    return Fail(context, absl::InvalidArgumentError(
                             "the files hold no resource: --replace-all would delete the whole configuration"));
  }

  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());

  client::ApplyOptions options;
  options.dry_run = true;
  options.replace_all = flags.replace_all;
  options.change = flags.change.Options();
  absl::StatusOr<v1::ApplyResponse> plan = (*client)->Apply(reader.set(), {}, options);
  if (!plan.ok()) return FailWithPlaces(context, plan.status(), reader);
  if (std::optional<int> end = ShowPlan(context, *plan, flags.dry_run)) return *end;

  // What was shown is what is done: another change in between is a conflict.
  options.dry_run = false;
  options.expected_revision = plan->revision();
  absl::StatusOr<v1::ApplyResponse> applied = (*client)->Apply(reader.set(), {}, options);
  if (!applied.ok()) return FailWithPlaces(context, applied.status(), reader);
  return TellForce(context, *applied, flags.change.wait);
}

int Rollback(Context& context, const RollbackFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  client::ApplyOptions options;
  options.dry_run = true;
  options.change = flags.change.Options();
  absl::StatusOr<v1::ApplyResponse> plan = (*client)->Rollback(flags.revision, flags.restore_trust, options);
  if (!plan.ok()) return Fail(context, plan.status());
  if (std::optional<int> end = ShowPlan(context, *plan, flags.dry_run)) return *end;
  options.dry_run = false;
  options.expected_revision = plan->revision();
  absl::StatusOr<v1::ApplyResponse> done = (*client)->Rollback(flags.revision, flags.restore_trust, options);
  if (!done.ok()) return Fail(context, done.status());
  return TellForce(context, *done, flags.change.wait);
}

}  // namespace gatehouse::cli
