// apply, diff, rollback.
#include <optional>
#include <ostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/kind_flag.h"
#include "client/cli/plan.h"
#include "client/cli/progress.h"
#include "client/cli/style.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

// The exit code when the plan is all. One that changes nothing is carried out to hear whether what there is is in force.
std::optional<int> ShowPlan(Context& context, const v1::ApplyResponse& plan, bool dry_run, bool wait) {
  PrintPlan(context, plan);
  if (plan.changes().empty()) {
    context.out() << "nothing to change at revision " << plan.revision() << "\n";
    return !dry_run && wait ? std::nullopt : std::optional<int>(kOk);
  }
  if (!dry_run) return std::nullopt;
  context.out() << "dry run: nothing was changed at revision " << plan.revision() << "\n";
  return kOk;
}

int TellForce(Context& context, const v1::ApplyResponse& done, bool waited) {
  const bool lags = waited && done.force().in_force() < done.force().gateways();
  if (lags || !done.changes().empty()) context.out() << ForceText(done.revision(), waited, done.force());
  return lags ? kNotInForce : kOk;
}

absl::Status FillOptions(const ApplyFlags& flags, client::ApplyOptions* options) {
  GH_ASSIGN_OR_RETURN(options->prune_labels, LabelFlags(flags.labels));
  if (flags.prune && flags.labels.empty()) {
    return absl::InvalidArgumentError("--prune needs --label: what bears it and is not in the files is deleted");
  }
  if (!flags.prune && !flags.labels.empty()) {
    return absl::InvalidArgumentError("--label is of use with --prune only");
  }
  if (flags.prune && flags.replace_all) return absl::InvalidArgumentError("--prune and --replace-all exclude each other");
  options->replace_all = flags.replace_all;
  options->change = flags.change.Options();
  return absl::OkStatus();
}

// One Apply, with progress where somebody looks on.
absl::StatusOr<v1::ApplyResponse> Send(Context& context, client::Client& client, const v1::ConfigSet& set,
                                       client::ApplyOptions options, uint64_t from) {
  Progress progress(context, [&client, from, dry = options.dry_run](Progress& told) {
    if (dry) return;
    absl::StatusOr<v1::Status> status = client.GetStatus();
    if (status.ok() && status->revision() > from) told.Say(WaitingText(*status, status->revision()));
  });
  options.on_sent = [&progress, dry = options.dry_run](size_t sent, size_t all) {
    progress.Say(sent < all ? absl::StrCat("sending ", BytesText(sent, all)) : dry ? "checking" : "checking and storing");
  };
  return client.Apply(set, {}, options);
}

}  // namespace

int Apply(Context& context, const ApplyFlags& flags) {
  client::ApplyOptions options;
  if (absl::Status wrong = FillOptions(flags, &options); !wrong.ok()) {
    Fail(context, wrong);
    return kUsage;
  }
  client::Reader reader;
  if (absl::Status read = ReadFiles(context, flags.files, &reader); !read.ok()) return Fail(context, read);
  if (!TellProblems(context, reader)) return kRefused;
  if (reader.set().ByteSizeLong() == 0 && (flags.replace_all || flags.prune)) {
    return Fail(context, absl::InvalidArgumentError(
                             flags.prune ? "the files hold no resource: --prune would delete everything that bears the label"
                                         : "the files hold no resource: --replace-all would delete the whole configuration"));
  }

  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  options.dry_run = true;
  absl::StatusOr<v1::ApplyResponse> plan = Send(context, **client, reader.set(), options, 0);
  if (!plan.ok()) return Fail(context, WithPlaces(plan.status(), reader));
  if (std::optional<int> end = ShowPlan(context, *plan, flags.dry_run, flags.change.wait)) return *end;

  // What was shown is what is done: another change in between is a conflict.
  options.dry_run = false;
  options.expected_revision = plan->revision();
  absl::StatusOr<v1::ApplyResponse> applied = Send(context, **client, reader.set(), options, plan->revision());
  if (!applied.ok()) return Fail(context, WithPlaces(applied.status(), reader));
  return TellForce(context, *applied, flags.change.wait);
}

namespace {

// 1 says that something differs, so that no failure may.
int NoAnswer(Context& context, const absl::Status& status) {
  const int code = Fail(context, status);
  return code == kRefused ? kUsage : code;
}

int DiffRevisions(Context& context, const std::vector<std::string>& words) {
  uint64_t numbers[2] = {};
  for (size_t i = 0; i < words.size(); ++i) {
    if (i < 2 && absl::SimpleAtoi(words[i], &numbers[i])) continue;
    return NoAnswer(context, absl::InvalidArgumentError(absl::StrCat("--revision: one or two numbers, as `history` lists them, not \"", words[i], "\"")));
  }
  auto client = context.Connect();
  if (!client.ok()) return NoAnswer(context, client.status());
  auto compared = (*client)->Compare(numbers[0], words.size() > 1 ? std::optional<uint64_t>(numbers[1]) : std::nullopt);
  if (!compared.ok()) return NoAnswer(context, compared.status());
  context.out() << ChangesText(compared->changes(), Style(context.color));
  return compared->changes().empty() ? kOk : kRefused;
}

}  // namespace

int Diff(Context& context, const DiffFlags& flags) {
  if (flags.apply.files.empty() == flags.revisions.empty()) {
    return NoAnswer(context, absl::InvalidArgumentError("say what to compare: --file FILE with what is stored, or --revision A [B]"));
  }
  if (!flags.revisions.empty()) return DiffRevisions(context, flags.revisions);
  client::ApplyOptions options;
  if (absl::Status wrong = FillOptions(flags.apply, &options); !wrong.ok()) return NoAnswer(context, wrong);
  client::Reader reader;
  if (absl::Status read = ReadFiles(context, flags.apply.files, &reader); !read.ok()) return NoAnswer(context, read);
  if (!TellProblems(context, reader)) return kUsage;
  auto client = context.Connect();
  if (!client.ok()) return NoAnswer(context, client.status());
  options.dry_run = true;
  absl::StatusOr<v1::ApplyResponse> plan = Send(context, **client, reader.set(), options, 0);
  if (!plan.ok()) return NoAnswer(context, WithPlaces(plan.status(), reader));
  PrintPlan(context, *plan);
  return plan->changes().empty() ? kOk : kRefused;
}

int Rollback(Context& context, const RollbackFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  client::ApplyOptions options;
  options.dry_run = true;
  options.change = flags.change.Options();
  absl::StatusOr<v1::ApplyResponse> plan = (*client)->Rollback(flags.revision, flags.restore_trust, options);
  if (!plan.ok()) return Fail(context, plan.status());
  if (std::optional<int> end = ShowPlan(context, *plan, flags.dry_run, flags.change.wait)) return *end;
  options.dry_run = false;
  options.expected_revision = plan->revision();
  absl::StatusOr<v1::ApplyResponse> done = (*client)->Rollback(flags.revision, flags.restore_trust, options);
  if (!done.ok()) return Fail(context, done.status());
  return TellForce(context, *done, flags.change.wait);
}

}  // namespace gatehouse::cli
