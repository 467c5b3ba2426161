// Completion of command lines. The scripts for the shells only ask: `gatehousectl __complete WORD…`, the last word being
// the one that is typed, prints what it may become, one a line with a tab and what it means; `:files` stands for names of files.
// So every command and flag is known, and names come from the control plane.
#pragma once

#include <string>
#include <vector>

#include "client/cli/context.h"

namespace CLI {
class App;
}

namespace gatehouse::cli {

inline constexpr char kCompleteWord[] = "__complete";

// A script for bash, zsh or fish. REQUIRES: one of them.
std::string CompletionScript(const std::string& shell);

// Complete answers a script. Errors are silent: nothing is offered then.
int Complete(const CLI::App& app, Context& context, const std::vector<std::string>& words);

}  // namespace gatehouse::cli
