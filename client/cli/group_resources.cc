// apply, diff, get, describe, explain, export, delete.
#include "client/cli/groups.h"

namespace gatehouse::cli {

namespace {

void AddLabels(CLI::App& command, std::vector<std::string>& labels) {
  command.add_option("-l,--label", labels, "KEY=VALUE: only what bears this label; repeatable, or with commas")->expected(1)->take_all();
}

// What is deleted besides.
void AddSelection(CLI::App& command, ApplyFlags& flags) {
  command.add_flag("--replace-all", flags.replace_all, "delete what the files do not name");
  command.add_flag("--prune", flags.prune, "delete what bears the labels of --label and is not in the files");
  command.add_option("-l,--label", flags.labels, "KEY=VALUE, for --prune; repeatable, or with commas")->expected(1)->take_all();
}

}  // namespace

void AddResources(CLI::App& app, CommandLine& line) {
  ApplyFlags& apply_flags = line.Make<ApplyFlags>();
  CLI::App* apply = app.add_subcommand("apply", "make the configuration as files say; shows what changes first");
  apply->add_option("-f,--file", apply_flags.files, "YAML or JSON file, directory of such, or - for standard input; repeatable")->required();
  apply->add_flag("--dry-run", apply_flags.dry_run, "show what would change, and change nothing");
  AddSelection(*apply, apply_flags);
  AddChangeFlags(*apply, apply_flags.change);
  OnRun(*apply, line, [&] { return Apply(line.context, apply_flags); });

  DiffFlags& diff_flags = line.Make<DiffFlags>();
  CLI::App* diff = app.add_subcommand("diff", "tell what apply would change, or what differs between revisions; exit code 1 when something does");
  CLI::Option* file = diff->add_option("-f,--file", diff_flags.apply.files, "YAML or JSON file, directory, or -; repeatable");
  diff->add_option("--revision", diff_flags.revisions, "FROM [TO]; TO is the current one by default")->expected(1, 2)->excludes(file);
  AddSelection(*diff, diff_flags.apply);
  OnRun(*diff, line, [&] { return Diff(line.context, diff_flags); });

  GetFlags& get_flags = line.Make<GetFlags>();
  CLI::App* get = app.add_subcommand("get", "list resources of a kind, or print some");
  get->add_option("kind", get_flags.kind, "route, scheme, trust-store, … or all; or KIND/NAME")->required();
  get->add_option("name", get_flags.names, "these of them");
  AddLabels(*get, get_flags.labels);
  AddOutput(*get, get_flags.output,
            {{"table", Output::kTable}, {"yaml", Output::kYaml}, {"json", Output::kJson}, {"name", Output::kName}},
            "table, yaml, json or name; yaml and json can be applied again");
  get->add_flag("-w,--watch", get_flags.watch, "go on, and print each change; JSON is an object a line then");
  get->add_flag("--watch-only", get_flags.only_changes, "the same, without what is there now")->each([&](const std::string&) { get_flags.watch = true; });
  OnRun(*get, line, [&] { return Get(line.context, get_flags); });

  CLI::App* describe = app.add_subcommand("describe", "tell all about a resource: what it uses, what uses it, what happened");
  describe->add_option("kind", get_flags.kind, "route, scheme, trust-store, …; or KIND/NAME")->required();
  describe->add_option("name", get_flags.names, "these of them");
  AddLabels(*describe, get_flags.labels);
  OnRun(*describe, line, [&] { return Describe(line.context, get_flags); });

  ExportFlags& export_flags = line.Make<ExportFlags>();
  CLI::App* out = app.add_subcommand("export", "print the configuration as YAML that apply takes back; secrets stay where they are");
  out->add_option("kind", export_flags.kinds, "only these kinds; default: all but bindings");
  AddLabels(*out, export_flags.labels);
  out->add_option("--revision", export_flags.revision, "as it was then; default: now")->check(RevisionFrom(1));
  out->add_option("-d,--directory", export_flags.folder, "write a file for each resource there, as KIND/NAME.yaml");
  out->add_flag("--prune", export_flags.prune, "delete files there of resources that are gone");
  OnRun(*out, line, [&] { return Export(line.context, export_flags); });

  ExplainFieldsFlags& explain_flags = line.Make<ExplainFieldsFlags>();
  CLI::App* explain = app.add_subcommand("explain", "tell what a kind or a field means, as in `explain route.require`");
  explain->add_option("kind.field", explain_flags.path, "default: the kinds");
  explain->add_flag("-r,--recursive", explain_flags.recursive, "names and types of all fields below");
  explain->add_flag("--markdown", explain_flags.markdown, "the whole API's reference");
  OnRun(*explain, line, [&] { return ExplainFields(line.context, explain_flags); });

  DeleteFlags& delete_flags = line.Make<DeleteFlags>();
  CLI::App* remove = app.add_subcommand("delete", "delete a resource that nothing refers to");
  remove->add_option("kind", delete_flags.kind, "route, scheme, trust-store, …; or KIND/NAME")->required();
  remove->add_option("name", delete_flags.name, "its name");
  AddChangeFlags(*remove, delete_flags.change);
  OnRun(*remove, line, [&] { return Delete(line.context, delete_flags); });
}

}  // namespace gatehouse::cli
