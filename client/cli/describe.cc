// describe: a resource, what it refers to and what refers to it, and what happened to it lately.
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/fetch.h"
#include "client/cli/format.h"
#include "client/cli/kind_flag.h"
#include "client/cli/references.h"
#include "client/cli/style.h"
#include "client/cli/summary.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

constexpr size_t kShownReferrers = 20;
constexpr size_t kShownEvents = 8;
constexpr absl::Duration kLately = absl::Hours(1);

// What gateways have in force and how it was used; what is configured, where no gateway tells.
std::string Trusted(client::Client& client, const v1::Resource& store, const Style& style) {
  absl::StatusOr<v1::ListTrustResponse> listed = client.ListTrust(store.trust_store().name());
  if (listed.ok()) return TrustText(store.trust_store(), *listed, absl::Now(), style);
  return absl::StrCat(CertificateLines(store, absl::Now()),
                      style.Dim(absl::StrCat("  uses are not known: ", EscapeText(listed.status().message()))), "\n");
}

bool RefersTo(const v1::Resource& resource, v1::Kind kind, const std::string& name) {
  for (const v1::ResourceId& id : References(resource)) {
    if (id.kind() == kind && id.name() == name) return true;
  }
  return false;
}

// Who refers to it: the first of them by name, and how many in all.
struct Uses {
  std::vector<v1::ResourceId> shown;
  size_t all = 0;
  size_t any_scheme = 0;  // routes that take any scheme, this one too
};

absl::StatusOr<Uses> UsesOf(client::Client& client, const v1::Resource& resource) {
  const v1::Kind kind = client::KindOf(resource);
  const std::string name = client::NameOf(resource);
  const bool in_any = resource.has_scheme() && (!resource.scheme().has_in_any_scheme() || resource.scheme().in_any_scheme());
  Uses uses;
  for (const v1::Kind other : Referrers(kind)) {
    client::Pages<v1::Resource> pages = client.List(other);
    while (true) {
      GH_ASSIGN_OR_RETURN(std::optional<v1::Resource> one, pages.Next());
      if (!one.has_value()) break;
      if (in_any && one->route().require().any_scheme()) ++uses.any_scheme;
      if (!RefersTo(*one, kind, name)) continue;
      ++uses.all;
      if (uses.shown.size() >= kShownReferrers) continue;
      v1::ResourceId& id = uses.shown.emplace_back();
      id.set_kind(other);
      id.set_name(client::NameOf(*one));
    }
  }
  return uses;
}

void PrintIds(const char* title, const std::vector<v1::ResourceId>& ids, size_t all, std::ostream& out) {
  if (ids.empty()) return;
  out << "  " << title;
  for (const v1::ResourceId& id : ids) out << " " << client::IdText(id.kind(), id.name());
  if (all > ids.size()) out << " and " << all - ids.size() << " more";
  out << "\n";
}

// Events that are about the resource, or about what uses it.
v1::EventFilter FilterOf(const v1::Resource& resource, const Uses& uses) {
  v1::EventFilter filter;
  if (resource.has_route()) filter.add_routes(resource.route().name());
  if (resource.has_scheme()) filter.add_schemes(resource.scheme().name());
  if (resource.has_trust_store() || resource.has_user_store()) {
    for (const v1::ResourceId& id : uses.shown) {
      if (id.kind() == v1::SCHEME) filter.add_schemes(id.name());
    }
  }
  if (resource.has_policy() || resource.has_upstream()) {
    for (const v1::ResourceId& id : uses.shown) {
      if (id.kind() == v1::ROUTE) filter.add_routes(id.name());
    }
  }
  return filter;
}

void PrintRelated(Context& context, client::Client& client, const v1::Resource& resource, bool events) {
  const Style style(context.color);
  const std::vector<v1::ResourceId> references = References(resource);
  PrintIds("refers to:  ", references, references.size(), context.out());
  const absl::StatusOr<Uses> uses = UsesOf(client, resource);
  if (!uses.ok()) {
    context.out() << style.Dim(absl::StrCat("  what refers to it is not known: ", EscapeText(uses.status().message()))) << "\n";
    return;
  }
  PrintIds("used by:    ", uses->shown, uses->all, context.out());
  if (uses->any_scheme > 0) {
    context.out() << "  used by:     " << uses->any_scheme << (uses->any_scheme == 1 ? " route" : " routes") << " with any_scheme\n";
  }
  const v1::EventFilter filter = FilterOf(resource, *uses);
  if (!events || (filter.routes().empty() && filter.schemes().empty())) return;
  const auto recent = client.RecentEvents(filter, absl::Now() - kLately, kShownEvents);
  if (!recent.ok()) {
    context.out() << style.Dim(absl::StrCat("  recent events are not known: ", EscapeText(recent.status().message()))) << "\n";
    return;
  }
  context.out() << "  events of the last hour:" << (recent->empty() ? " none" : "") << "\n";
  for (const v1::Event& event : *recent) context.out() << "    " << EventText(event, style, absl::LocalTimeZone()) << "\n";
}

}  // namespace

int Describe(Context& context, const GetFlags& given) {
  GetFlags flags = given;
  if (std::optional<int> wrong = CheckGetFlags(context, &flags)) return *wrong;
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
    // Of a whole list this would be as many listings of everything.
    if (!flags.names.empty()) PrintRelated(context, **client, resource, flags.names.size() == 1);
    first = false;
  }
  return kOk;
}

}  // namespace gatehouse::cli
