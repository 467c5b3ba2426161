// get, delete.
#include <ostream>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/fetch.h"
#include "client/cli/format.h"
#include "client/cli/kind_flag.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "client/yaml/kinds.h"
#include "client/yaml/writer.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

void PrintJsonOf(Context& context, const std::vector<v1::Resource>& resources, bool one) {
  if (one) {
    context.out() << client::ToJson(resources[0], true) << "\n";
    return;
  }
  context.out() << "[";
  bool first = true;
  for (const v1::Resource& resource : resources) {
    context.out() << (first ? "\n" : ",\n") << client::ToJson(resource, false);
    first = false;
  }
  context.out() << "\n]\n";
}

}  // namespace

int Get(Context& context, const GetFlags& given) {
  GetFlags flags = given;
  if (std::optional<int> wrong = CheckGetFlags(context, &flags)) return *wrong;
  if (flags.watch) return WatchKind(context, flags);
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<std::vector<v1::Resource>> resources = Fetch(**client, flags);
  if (!resources.ok()) return Fail(context, resources.status());
  switch (flags.output) {
    case Output::kName:
      for (const v1::Resource& resource : *resources) {
        context.out() << client::IdText(client::KindOf(resource), client::NameOf(resource)) << "\n";
      }
      return kOk;
    case Output::kYaml:
      for (const v1::Resource& resource : *resources) {
        context.out() << (&resource == &resources->front() ? "" : "---\n") << client::ToYaml(resource);
      }
      return kOk;
    case Output::kJson:
      PrintJsonOf(context, *resources, flags.names.size() == 1);
      return kOk;
    case Output::kTable:
      break;
  }
  std::vector<std::vector<std::string>> rows;
  for (const v1::Resource& resource : *resources) {
    std::string name = EscapeText(client::NameOf(resource));
    if (flags.kind == "all") name = client::IdText(client::KindOf(resource), client::NameOf(resource));
    rows.push_back({name, Summary(resource)});
  }
  if (rows.empty()) {
    context.err() << "there are none\n";
    return kOk;
  }
  PrintTable({"NAME", "WHAT"}, rows, Style(context.color), context.out());
  return kOk;
}

int Delete(Context& context, const DeleteFlags& flags) {
  std::string word = flags.kind;
  std::vector<std::string> names;
  if (!flags.name.empty()) names.push_back(flags.name);
  SplitIds(&word, &names);
  absl::StatusOr<v1::Kind> kind = KindFlag(word);
  if (kind.ok() && names.size() != 1) kind = absl::InvalidArgumentError("say which one: KIND NAME, or KIND/NAME");
  if (!kind.ok()) {
    Fail(context, kind.status());
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::ChangeResponse> response = (*client)->Delete(*kind, names[0], "", flags.change.Options());
  if (!response.ok()) return Fail(context, response.status());
  const Style style(context.color);
  context.out() << style.Red("-") << " " << client::IdText(*kind, names[0]) << "   removed\n";
  return FinishChange(context, *response, flags.change);
}

}  // namespace gatehouse::cli
