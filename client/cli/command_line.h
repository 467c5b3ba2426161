// CommandLine is what parsing the arguments fills: the action that was asked for, and what it runs with. Each file
// group_*.cc adds one group of commands; run.cc lists the groups.
//
//   void AddThings(CLI::App& app, CommandLine& line) {
//     ThingFlags& flags = line.Make<ThingFlags>();
//     CLI::App* thing = app.add_subcommand("thing", "what it is for");
//     thing->add_option("name", flags.name, "its name")->required();
//     OnRun(*thing, line, [&] { return Thing(line.context, flags); });
//   }
//
// Ownership:  owns the flags that Make returns.
// Threading:  thread-compatible.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "client/cli/commands.h"
#include "client/cli/context.h"

namespace gatehouse::cli {

class CommandLine {
 public:
  Context context;
  // What the parse has chosen.
  std::function<int()> action;

  // Make returns a T that lives as long as this.
  template <typename T>
  T& Make() {
    auto made = std::make_shared<T>();
    kept_.push_back(made);
    return *made;
  }

 private:
  std::vector<std::shared_ptr<void>> kept_;
};

template <typename Action>
void OnRun(CLI::App& command, CommandLine& line, Action action) {
  command.final_callback([&line, action] { line.action = action; });
}

// What every command that changes something takes.
inline void AddChangeFlags(CLI::App& command, ChangeFlags& change) {
  command.add_flag("--wait,!--no-wait", change.wait, "return once gateways have it in force (default)");
  command
      .add_option_function<double>(
          "--wait-timeout", [&change](const double& seconds) { change.timeout = absl::Seconds(seconds); },
          "seconds to wait for that; default 10")
      ->check(CLI::Range(0.001, 3600.0));
  command.add_option("-m,--message", change.message, "note for the history");
}

// `-o`, which takes the words of `outputs` that `help` lists.
inline void AddOutput(CLI::App& command, Output& output, std::map<std::string, Output> outputs, const std::string& help) {
  const auto number = [outputs = std::move(outputs)](std::string& word) -> std::string {
    std::string words;
    for (const auto& [name, value] : outputs) {
      if (name == word) {
        word = std::to_string(static_cast<int>(value));  // what the parser reads an enum from
        return "";
      }
      words += (words.empty() ? "" : ", ") + name;
    }
    return "no value \"" + word + "\"; there are " + words;
  };
  command.add_option("-o,--output", output, help)->transform(CLI::Validator(number, ""));
}

// What a revision must be.
inline CLI::Validator RevisionFrom(uint64_t least) {
  return CLI::Validator(
      [least](std::string& text) {
        uint64_t revision = 0;
        return absl::SimpleAtoi(text, &revision) && revision >= least
                   ? std::string()
                   : "\"" + text + "\" is no revision as `history` lists them";
      },
      "");
}

}  // namespace gatehouse::cli
