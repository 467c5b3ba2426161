// The manual pages, made from the commands and from the protos' comments, so that they tell what the program does:
// gatehousectl(1), gatehousectl-COMMAND(1) for each, gatehouse-KIND(5) for each kind of resource.
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace CLI {
class App;
}

namespace gatehouse::cli {

// Pages by file name. `date` as in 2027-01-31, `version` of the program.
std::map<std::string, std::string> ManPages(const CLI::App& app, absl::string_view date, absl::string_view version);
// Text for man(7): what troff would take for its own is escaped.
std::string ManText(absl::string_view text);

}  // namespace gatehouse::cli
