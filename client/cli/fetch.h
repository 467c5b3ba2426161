// What get and describe have in common: which resources are meant.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/commands.h"

namespace gatehouse::cli {

// CheckGetFlags takes `KIND/NAME` apart; an exit code when the flags are no good.
std::optional<int> CheckGetFlags(Context& context, GetFlags* flags);
// Fetch reads the resources. REQUIRES: the flags were checked.
absl::StatusOr<std::vector<v1::Resource>> Fetch(client::Client& client, const GetFlags& flags);
// WatchKind prints the resources of a kind, and then each change.
int WatchKind(Context& context, const GetFlags& flags);

}  // namespace gatehouse::cli
