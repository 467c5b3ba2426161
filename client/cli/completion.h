// BashCompletion makes the completion script from the commands themselves, so that it knows every one.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace gatehouse::cli {

std::string BashCompletion(const CLI::App& app);

}  // namespace gatehouse::cli
