// user import, user export: files of htpasswd's format. The server reads and writes them.
#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/output.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

constexpr size_t kMaxExportBytes = size_t{64} * 1024 * 1024;

std::string CountsText(const v1::ImportUsersResponse& response) {
  return absl::StrCat(response.added(), " added, ", response.changed(), " changed, ", response.unchanged(),
                      " unchanged, ", response.removed(), " removed");
}

// Every bad line; the number of those that the server did not name.
void PrintBadLines(Context& context, const std::string& file, const v1::ImportUsersResponse& plan) {
  context.err() << "error: nothing was changed\n";
  for (const v1::Violation& line : plan.bad_lines()) {
    context.err() << "  " << EscapeText(file) << ": " << EscapeText(line.path()) << ": " << EscapeText(line.message())
                  << "\n";
  }
  const uint32_t named = static_cast<uint32_t>(plan.bad_lines_size());
  if (plan.bad_line_count() > named) context.err() << "  and " << plan.bad_line_count() - named << " more\n";
}

}  // namespace

int ImportUsers(Context& context, const UserFileFlags& flags) {
  absl::StatusOr<std::string> text = ReadInput(context, flags.file);
  if (!text.ok()) return Fail(context, text.status());
  const Secret file(*std::move(text));
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  v1::ImportOptions import;
  import.set_user_store(flags.store);
  import.set_replace(flags.replace);
  import.set_allow_weak_hashes(flags.allow_weak_hashes);
  // Tried first: the answer names every bad line, which an error has no room for.
  import.set_dry_run(true);
  absl::StatusOr<v1::ImportUsersResponse> plan = (*client)->ImportUsers(import, file, flags.change.Options());
  if (!plan.ok()) return Fail(context, plan.status());
  if (plan->bad_line_count() > 0) {
    PrintBadLines(context, flags.file, *plan);
    return kRefused;
  }
  const std::string target = absl::StrCat("userStores/", EscapeText(flags.store), "   users: ");
  if (flags.dry_run) {
    for (const v1::Violation& warning : plan->warnings()) {
      context.err() << WarningText(warning, Style(context.error_color));
    }
    context.out() << target << CountsText(*plan) << "\ndry run: nothing was changed\n";
    return kOk;
  }
  import.set_dry_run(false);
  import.set_expected_revision(plan->revision());
  absl::StatusOr<v1::ImportUsersResponse> done = (*client)->ImportUsers(import, file, flags.change.Options());
  if (!done.ok()) return Fail(context, done.status());
  context.out() << Style(context.color).Yellow("~") << " " << target << CountsText(*done) << "\n";
  return FinishChange(context, *done, flags.change);
}

int ExportUsers(Context& context, const UserFileFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  std::string collected;
  absl::StatusOr<v1::ExportSummary> summary = (*client)->ExportUsers(
      flags.store, flags.include_disabled, [&](absl::string_view piece) -> absl::Status {
        if (collected.size() + piece.size() > kMaxExportBytes) return absl::ResourceExhaustedError("the file is too large");
        collected.append(piece.data(), piece.size());
        return absl::OkStatus();
      });
  const Secret file(std::move(collected));
  if (!summary.ok()) return Fail(context, summary.status());
  if (flags.file == "-") {
    context.out() << file.Reveal();
  } else if (absl::Status written = WriteFile(flags.file, file.Reveal(), true, flags.force); !written.ok()) {
    return Fail(context, written);
  }
  std::ostream& err = context.err();
  err << summary->users() << (summary->users() == 1 ? " user" : " users") << " of userStores/" << EscapeText(flags.store) << ", of revision " << summary->revision()
      << "; the history tells of it\n";
  const Style style(context.error_color);
  const auto warn = [&](uint32_t count, absl::string_view what) {
    if (count > 0) err << style.Yellow("warning:") << " " << what << ": " << count << (count == 1 ? " user\n" : " users\n");
  };
  warn(summary->left_out(), "left out, since disabled, expired, or of a name that the format cannot say");
  warn(summary->second_passwords(), "second passwords are not in the file");
  warn(summary->argon2id(), "argon2id, which Apache and nginx cannot read");
  return kOk;
}

}  // namespace gatehouse::cli
