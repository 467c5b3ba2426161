// Run is gatehousectl: arguments in, exit code out.
#pragma once

#include <string>
#include <vector>

#include "client/cli/context.h"

namespace gatehouse::cli {

// `arguments` without the program's name.
int Run(const std::vector<std::string>& arguments, const Streams& streams);

}  // namespace gatehouse::cli
