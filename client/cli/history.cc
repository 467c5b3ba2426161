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

namespace {

std::string OneText(const v1::Revision& revision, const Style& style) {
  std::string text = absl::StrCat(style.Bold(absl::StrCat("revision ", revision.revision())), "   ", DateText(revision.time()), "   ",
                                  EscapeText(revision.actor()));
  if (!revision.peer().empty()) absl::StrAppend(&text, " from ", EscapeText(revision.peer()));
  if (!revision.method().empty()) absl::StrAppend(&text, " by ", EscapeText(revision.method()));
  absl::StrAppend(&text, "\n");
  if (!revision.message().empty()) absl::StrAppend(&text, "  ", EscapeText(revision.message()), "\n");
  absl::StrAppend(&text, ChangesText(revision.changes(), style));
  if (revision.changes().empty()) absl::StrAppend(&text, "nothing differs from revision ", revision.parent(), "\n");
  return text;
}

int ShowOne(Context& context, client::Client& client, const HistoryFlags& flags) {
  client::Pages<v1::Revision> pages = client.History(1000);
  while (true) {
    absl::StatusOr<std::optional<v1::Revision>> revision = pages.Next();
    if (!revision.ok()) return Fail(context, revision.status());
    if (!revision->has_value() || (*revision)->revision() < flags.revision) break;
    if ((*revision)->revision() != flags.revision) continue;
    if (flags.json) return PrintJson(context, **revision);
    context.out() << OneText(**revision, Style(context.color));
    return kOk;
  }
  return Fail(context, absl::NotFoundError(absl::StrCat("there is no revision ", flags.revision, "; `history` lists them")));
}

}  // namespace

int ShowHistory(Context& context, const HistoryFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  if (flags.revision != 0) return ShowOne(context, **client, flags);
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
