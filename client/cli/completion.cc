#include "client/cli/completion.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"

namespace gatehouse::cli {
namespace {

std::string Words(const CLI::App& app) {
  std::string words;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    absl::StrAppend(&words, command->get_name(), " ");
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) absl::StrAppend(&words, "--", name, " ");
  }
  return words;
}

void AddCases(const CLI::App& app, const std::string& path, std::string& script) {
  absl::StrAppend(&script, "    \"", path, "\") words=\"", Words(app), "\" ;;\n");
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    AddCases(*command, absl::StrCat(path, path.empty() ? "" : " ", command->get_name()), script);
  }
}

std::string Commands(const CLI::App& app) {
  std::string all;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    absl::StrAppend(&all, "|", command->get_name(), Commands(*command));
  }
  return all;
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  std::string script =
      "_gatehousectl() {\n"
      "  local word path=\"\" words=\"\" i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=\"${COMP_WORDS[i]}\"\n"
      "    case \"$word\" in\n";
  absl::StrAppend(&script, "      ", Commands(app).substr(1), ") path=\"${path:+$path }$word\" ;;\n",
                  "    esac\n  done\n  case \"$path\" in\n");
  AddCases(app, "", script);
  absl::StrAppend(&script,
                  "  esac\n"
                  "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
                  "}\n"
                  "complete -o default -F _gatehousectl gatehousectl\n");
  return script;
}

}  // namespace gatehouse::cli
