// Names that are chosen by people and stand in configurations, paths and command lines.
//
// Threading: stateless.
#pragma once

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace gatehouse {

// Letters, digits, '.', '_' and '-', with a letter or digit first, 1 to 63 of them. A gateway's name.
inline bool IsGatewayName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 && absl::ascii_isalnum(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; });
}

// The same with a letter first: the id of a resource, [A-Za-z][A-Za-z0-9._-]{0,62}. Safe as the name of a file.
inline bool IsResourceId(absl::string_view id) {
  return IsGatewayName(id) && absl::ascii_isalpha(static_cast<unsigned char>(id[0]));
}

}  // namespace gatehouse
