// get, describe, delete.
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "client/yaml/kinds.h"
#include "client/yaml/writer.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

absl::StatusOr<v1::Kind> KindFlag(const std::string& text) {
  if (std::optional<v1::Kind> kind = client::ParseKind(text); kind.has_value()) return *kind;
  std::vector<std::string> words;
  std::string all;
  for (const client::KindName& kind : client::Kinds()) {
    words.push_back(kind.word);
    absl::StrAppend(&all, all.empty() ? "" : ", ", kind.word);
  }
  std::string closest = client::Closest(text, words);
  return absl::InvalidArgumentError(absl::StrCat(
      "no kind named \"", text, "\"; ",
      closest.empty() ? absl::StrCat("there are ", all) : absl::StrCat("did you mean \"", closest, "\"?")));
}

absl::StatusOr<std::vector<v1::Resource>> Fetch(client::Client& client, const GetFlags& flags) {
  std::vector<v1::Resource> resources;
  std::vector<v1::Kind> kinds;
  if (flags.kind == "all") {
    if (!flags.name.empty()) return absl::InvalidArgumentError("`all` takes no name");
    for (const client::KindName& kind : client::Kinds()) kinds.push_back(kind.kind);
  } else {
    GH_ASSIGN_OR_RETURN(v1::Kind kind, KindFlag(flags.kind));
    kinds.push_back(kind);
  }
  if (!flags.name.empty()) {
    GH_ASSIGN_OR_RETURN(v1::Resource resource, client.Get(kinds[0], flags.name));
    resources.push_back(std::move(resource));
    return resources;
  }
  for (v1::Kind kind : kinds) {
    client::Pages<v1::Resource> pages = client.List(kind);
    while (true) {
      GH_ASSIGN_OR_RETURN(std::optional<v1::Resource> resource, pages.Next());
      if (!resource.has_value()) break;
      resources.push_back(*std::move(resource));
    }
  }
  return resources;
}

}  // namespace

int Get(Context& context, const GetFlags& flags) {
  if (flags.kind != "all") {
    if (auto kind = KindFlag(flags.kind); !kind.ok()) {
      Fail(context, kind.status());
      return kUsage;
    }
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<std::vector<v1::Resource>> resources = Fetch(**client, flags);
  if (!resources.ok()) return Fail(context, resources.status());

  if (flags.output == Output::kYaml) {
    bool first = true;
    for (const v1::Resource& resource : *resources) {
      context.out() << (first ? "" : "---\n") << client::ToYaml(resource);
      first = false;
    }
    return kOk;
  }
  if (flags.output == Output::kJson) {
    if (!flags.name.empty()) {
      context.out() << client::ToJson((*resources)[0], true) << "\n";
      return kOk;
    }
    context.out() << "[";
    bool first = true;
    for (const v1::Resource& resource : *resources) {
      context.out() << (first ? "\n" : ",\n") << client::ToJson(resource, false);
      first = false;
    }
    context.out() << "\n]\n";
    return kOk;
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

namespace {

// What gateways have in force and how it was used; what is configured, where no gateway tells.
std::string Trusted(client::Client& client, const v1::Resource& store, const Style& style) {
  absl::StatusOr<v1::ListTrustResponse> listed = client.ListTrust(store.trust_store().name());
  if (listed.ok()) return TrustText(store.trust_store(), *listed, absl::Now(), style);
  return absl::StrCat(CertificateLines(store, absl::Now()),
                      style.Dim(absl::StrCat("  uses are not known: ", EscapeText(listed.status().message()))), "\n");
}

}  // namespace

int Describe(Context& context, const GetFlags& flags) {
  if (auto kind = KindFlag(flags.kind); !kind.ok()) {
    Fail(context, kind.status());
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<std::vector<v1::Resource>> resources = Fetch(**client, flags);
  if (!resources.ok()) return Fail(context, resources.status());
  const Style style(context.color);
  bool first = true;
  for (const v1::Resource& resource : *resources) {
    context.out() << (first ? "" : "\n")
                  << style.Bold(client::IdText(client::KindOf(resource), client::NameOf(resource))) << "   "
                  << Summary(resource) << "\n";
    if (resource.has_trust_store()) {
      context.out() << Trusted(**client, resource, style);
    } else {
      context.out() << CertificateLines(resource, absl::Now());
    }
    context.out() << FieldLines(resource);
    first = false;
  }
  return kOk;
}

int Delete(Context& context, const DeleteFlags& flags) {
  absl::StatusOr<v1::Kind> kind = KindFlag(flags.kind);
  if (!kind.ok()) {
    Fail(context, kind.status());
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  absl::StatusOr<v1::ChangeResponse> response = (*client)->Delete(*kind, flags.name, "", flags.change.Options());
  if (!response.ok()) return Fail(context, response.status());
  const Style style(context.color);
  context.out() << style.Red("-") << " " << client::IdText(*kind, flags.name) << "   removed\n";
  return FinishChange(context, *response, flags.change);
}

}  // namespace gatehouse::cli
