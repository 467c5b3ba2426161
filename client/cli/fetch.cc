#include "client/cli/fetch.h"

#include "client/cli/kind_flag.h"
#include "client/yaml/kinds.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {

std::optional<int> CheckGetFlags(Context& context, GetFlags* flags) {
  SplitIds(&flags->kind, &flags->names);
  absl::Status status;
  if (flags->kind != "all") status = KindFlag(flags->kind).status();
  if (status.ok()) status = LabelFlags(flags->labels).status();
  if (status.ok() && !flags->names.empty()) {
    if (flags->kind == "all") status = absl::InvalidArgumentError("`all` takes no name");
    if (!flags->labels.empty()) status = absl::InvalidArgumentError("names and --label exclude each other");
  }
  if (status.ok() && flags->watch && (flags->kind == "all" || flags->names.size() > 1)) {
    status = absl::InvalidArgumentError("--watch takes one kind, or one name of it");
  }
  if (status.ok()) return std::nullopt;
  Fail(context, status);
  return kUsage;
}

absl::StatusOr<std::vector<v1::Resource>> Fetch(client::Client& client, const GetFlags& flags) {
  std::vector<v1::Resource> resources;
  std::vector<v1::Kind> kinds;
  GH_ASSIGN_OR_RETURN(const client::Labels labels, LabelFlags(flags.labels));
  if (flags.kind == "all") {
    for (const client::KindName& kind : client::Kinds()) kinds.push_back(kind.kind);
  } else {
    GH_ASSIGN_OR_RETURN(v1::Kind kind, KindFlag(flags.kind));
    kinds.push_back(kind);
  }
  for (const std::string& name : flags.names) {
    GH_ASSIGN_OR_RETURN(v1::Resource resource, client.Get(kinds[0], name));
    resources.push_back(std::move(resource));
  }
  if (!flags.names.empty()) return resources;
  for (v1::Kind kind : kinds) {
    client::Pages<v1::Resource> pages = client.List(kind, 500, labels);
    while (true) {
      GH_ASSIGN_OR_RETURN(std::optional<v1::Resource> resource, pages.Next());
      if (!resource.has_value()) break;
      resources.push_back(*std::move(resource));
    }
  }
  return resources;
}

}  // namespace gatehouse::cli
