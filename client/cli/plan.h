// What apply, diff and rollback have in common: files in, the server's plan out.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/context.h"
#include "client/yaml/reader.h"
#include "gatehouse/v1/config_service.pb.h"

namespace gatehouse::cli {

// ReadFiles reads files, directories (every .yaml, .yml and .json below them, in order of their paths) and "-" into `reader`.
absl::Status ReadFiles(Context& context, const std::vector<std::string>& files, client::Reader* reader);
// Tells what is wrong with what was read; false when something is.
bool TellProblems(Context& context, const client::Reader& reader);
// A refusal names the resource; the file and line where it was written are added.
absl::Status WithPlaces(const absl::Status& status, const client::Reader& reader);
// Changes to standard output, warnings to the other.
void PrintPlan(Context& context, const v1::ApplyResponse& plan);

}  // namespace gatehouse::cli
