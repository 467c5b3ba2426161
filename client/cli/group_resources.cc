// apply, get, describe, explain, delete.
#include "client/cli/groups.h"

namespace gatehouse::cli {

void AddResources(CLI::App& app, CommandLine& line) {
  ApplyFlags& apply_flags = line.Make<ApplyFlags>();
  CLI::App* apply = app.add_subcommand("apply", "make the configuration as files say; shows what changes first");
  apply->add_option("-f,--file", apply_flags.files, "YAML or JSON file, or - for standard input; repeatable")->required();
  apply->add_flag("--dry-run", apply_flags.dry_run, "show what would change, and change nothing");
  apply->add_flag("--replace-all", apply_flags.replace_all, "delete what the files do not name");
  AddChangeFlags(*apply, apply_flags.change);
  OnRun(*apply, line, [&] { return Apply(line.context, apply_flags); });

  GetFlags& get_flags = line.Make<GetFlags>();
  CLI::App* get = app.add_subcommand("get", "list resources of a kind, or print one");
  get->add_option("kind", get_flags.kind, "route, scheme, trust-store, … or all")->required();
  get->add_option("name", get_flags.name, "one of them");
  AddOutput(*get, get_flags.output, {{"table", Output::kTable}, {"yaml", Output::kYaml}, {"json", Output::kJson}}, "table, yaml or json; yaml and json can be applied again");
  OnRun(*get, line, [&] { return Get(line.context, get_flags); });

  CLI::App* describe = app.add_subcommand("describe", "tell all about a resource");
  describe->add_option("kind", get_flags.kind, "route, scheme, trust-store, …")->required();
  describe->add_option("name", get_flags.name, "one of them");
  OnRun(*describe, line, [&] { return Describe(line.context, get_flags); });

  ExplainFieldsFlags& explain_flags = line.Make<ExplainFieldsFlags>();
  CLI::App* explain = app.add_subcommand("explain", "tell what a kind or a field means, as in `explain route.require`");
  explain->add_option("kind.field", explain_flags.path, "default: the kinds");
  explain->add_flag("-r,--recursive", explain_flags.recursive, "names and types of all fields below");
  explain->add_flag("--markdown", explain_flags.markdown, "the whole API's reference");
  OnRun(*explain, line, [&] { return ExplainFields(line.context, explain_flags); });

  DeleteFlags& delete_flags = line.Make<DeleteFlags>();
  CLI::App* remove = app.add_subcommand("delete", "delete a resource that nothing refers to");
  remove->add_option("kind", delete_flags.kind, "route, scheme, trust-store, …")->required();
  remove->add_option("name", delete_flags.name, "its name")->required();
  AddChangeFlags(*remove, delete_flags.change);
  OnRun(*remove, line, [&] { return Delete(line.context, delete_flags); });
}

}  // namespace gatehouse::cli
