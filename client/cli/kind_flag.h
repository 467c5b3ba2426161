// What commands take to say which resources are meant: kinds, names, labels.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/lib/client.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::cli {

// A kind in any spelling; INVALID_ARGUMENT says which there are, or which was meant.
absl::StatusOr<v1::Kind> KindFlag(const std::string& text);
// `KIND/NAME`, as `get -o name` prints it, is taken apart into kind and name.
void SplitIds(std::string* kind, std::vector<std::string>* names);
// `key=value`, several of them with commas between or one by one.
absl::StatusOr<client::Labels> LabelFlags(const std::vector<std::string>& flags);

}  // namespace gatehouse::cli
