// history.
#include <algorithm>
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/style.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

std::string WhatChanged(const v1::Revision& revision) {
  constexpr int kShown = 4;
  std::string text;
  for (int i = 0; i < revision.changes_size() && i < kShown; ++i) {
    const v1::Change& change = revision.changes(i);
    char sign = change.action() == v1::Change::ADDED ? '+' : change.action() == v1::Change::REMOVED ? '-' : '~';
    absl::StrAppend(&text, i == 0 ? "" : " ", std::string(1, sign),
                    client::IdText(change.id().kind(), change.id().name()));
  }
  if (revision.changes_size() > kShown) absl::StrAppend(&text, " and ", revision.changes_size() - kShown, " more");
  return text;
}

}  // namespace

int ShowHistory(Context& context, const HistoryFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  client::Pages<v1::Revision> pages = (*client)->History(std::min(flags.count, 1000));
  std::vector<std::vector<std::string>> rows;
  for (int i = 0; i < flags.count; ++i) {
    absl::StatusOr<std::optional<v1::Revision>> revision = pages.Next();
    if (!revision.ok()) return Fail(context, revision.status());
    if (!revision->has_value()) break;
    if (flags.json) {
      if (int code = PrintJson(context, **revision); code != kOk) return code;
      continue;
    }
    rows.push_back({absl::StrCat((*revision)->revision()), DateText((*revision)->time()),
                    EscapeText((*revision)->actor()), EscapeText((*revision)->message()), WhatChanged(**revision)});
  }
  if (!flags.json) PrintTable({"REVISION", "TIME", "WHO", "MESSAGE", "WHAT"}, rows, Style(context.color), context.out());
  return kOk;
}

}  // namespace gatehouse::cli
