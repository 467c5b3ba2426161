#include "client/cli/plan.h"

#include <algorithm>
#include <filesystem>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/input.h"
#include "client/cli/style.h"
#include "client/lib/status.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 200'000;

bool IsConfiguration(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// Links to directories are not followed: a loop of them would have no end.
absl::StatusOr<std::vector<std::string>> FilesBelow(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.empty() && name[0] == '.') {
      it.disable_recursion_pending();  // .git
      continue;
    }
    std::error_code unknown;
    if (it->is_regular_file(unknown) && IsConfiguration(it->path())) files.push_back(it->path().string());
    if (files.size() > kMaxFiles) return absl::InvalidArgumentError(absl::StrCat(EscapeText(folder), " holds more than ", kMaxFiles, " files"));
  }
  if (error) return absl::InvalidArgumentError(absl::StrCat(EscapeText(folder), ": ", error.message()));
  if (files.empty()) return absl::NotFoundError(absl::StrCat(EscapeText(folder), " holds no .yaml, .yml or .json file"));
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

absl::Status ReadFiles(Context& context, const std::vector<std::string>& files, client::Reader* reader) {
  for (const std::string& file : files) {
    std::vector<std::string> below = {file};
    std::error_code unknown;
    if (file != "-" && fs::is_directory(file, unknown)) {
      GH_ASSIGN_OR_RETURN(below, FilesBelow(file));
    }
    for (const std::string& one : below) {
      const absl::StatusOr<std::string> text = ReadInput(context, one, client::ReadLimits().max_text_bytes);
      if (absl::IsResourceExhausted(text.status())) {
        return absl::ResourceExhaustedError(absl::StrCat(
            text.status().message(),
            ": split it; several files, or a folder of them as `export --directory` writes it, are one change of up to 256 MiB"));
      }
      GH_RETURN_IF_ERROR(text.status());
      reader->Read(*text, one, FolderOf(one));
    }
  }
  return absl::OkStatus();
}

bool TellProblems(Context& context, const client::Reader& reader) {
  if (reader.problems().empty()) return true;
  context.err() << Style(context.error_color).Red("error:") << " nothing was changed\n";
  for (const client::Problem& problem : reader.problems()) context.err() << "  " << problem.ToString() << "\n";
  return false;
}

absl::Status WithPlaces(const absl::Status& status, const client::Reader& reader) {
  v1::Violations placed;
  for (v1::Violation violation : client::ViolationsOf(status)) {
    if (const client::Place* place = reader.PlaceOf(violation.path()); place != nullptr) {
      violation.set_message(absl::StrCat(violation.message(), "  (", place->source, ":", place->line, ")"));
    }
    *placed.add_violations() = std::move(violation);
  }
  if (placed.violations().empty()) return status;
  return client::WithViolations(absl::Status(status.code(), status.message()), placed);
}

void PrintPlan(Context& context, const v1::ApplyResponse& plan) {
  const Style style(context.color), error_style(context.error_color);
  context.out() << ChangesText(plan.changes(), style);
  context.out().flush();
  for (const v1::Violation& warning : plan.warnings()) context.err() << WarningText(warning, error_style);
}

}  // namespace gatehouse::cli
