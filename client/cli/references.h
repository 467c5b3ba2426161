// Which resources a resource names. Labels of the tree of a configuration: listeners <- routes -> schemes -> stores.
//
// Threading:  pure functions.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::cli {

// The resources that it refers to by name, each once, in order of kind and name.
std::vector<v1::ResourceId> References(const v1::Resource& resource);
// The kinds that may refer to resources of `kind`.
absl::Span<const v1::Kind> Referrers(v1::Kind kind);

}  // namespace gatehouse::cli
