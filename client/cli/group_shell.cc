// completion, man.
#include <ostream>

#include "client/cli/completion.h"
#include "client/cli/groups.h"
#include "client/cli/man.h"
#include "client/cli/output.h"

namespace gatehouse::cli {
namespace {

struct ManFlags {
  std::string folder;
  std::string date;
};

int WritePages(const CLI::App& app, Context& context, const ManFlags& flags) {
  for (const auto& [name, page] : ManPages(app, flags.date, GATEHOUSE_VERSION)) {
    if (absl::Status written = WriteFile(flags.folder + "/" + name, page, false, true); !written.ok()) return Fail(context, written);
  }
  return kOk;
}

}  // namespace

void AddShell(CLI::App& app, CommandLine& line) {
  std::string& shell = line.Make<std::string>();
  shell = "bash";
  CLI::App* completion = app.add_subcommand("completion", "print a completion script: `source <(gatehousectl completion bash)`");
  completion->add_option("shell", shell, "default bash")->check(CLI::IsMember({"bash", "zsh", "fish"}));
  OnRun(*completion, line, [&] {
    line.context.out() << CompletionScript(shell);
    return static_cast<int>(kOk);
  });

  ManFlags& flags = line.Make<ManFlags>();
  CLI::App* man = app.add_subcommand("man", "write the manual pages into a directory");
  man->add_option("directory", flags.folder, "where to; it must exist")->required()->check(CLI::ExistingDirectory);
  man->add_option("--date", flags.date, "date that the pages bear, e.g. 2027-01-31");
  OnRun(*man, line, [&] { return WritePages(app, line.context, flags); });
}

}  // namespace gatehouse::cli
