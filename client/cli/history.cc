// history.
#include <algorithm>
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/style.h"
#include "client/yaml/kinds.h"
#include "client/yaml/writer.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

std::string Times(const v1::Revision& entry) {
  std::string text;
  if (entry.times() > 1) absl::StrAppend(&text, " (", entry.times(), " times since ", DateText(entry.first_time()), ")");
  if (entry.left_out() > 0) absl::StrAppend(&text, " (", entry.left_out(), " more before it, of any callers, are not listed)");
  return text;
}

std::string WhatChanged(const v1::Revision& revision) {
  constexpr int kShown = 4;
  if (!revision.refusal().empty()) {
    return absl::StrCat("refused ", EscapeText(revision.method()), ": ", EscapeText(revision.refusal()), Times(revision));
  }
  if (revision.effects_size() > 0) {
    std::string text = EscapeText(revision.effects(0));
    if (revision.effects_size() > 1) absl::StrAppend(&text, " and ", revision.effects_size() - 1, " more");
    return text + Times(revision);
  }
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

// Who, from where, by what.
std::string Origin(const v1::Revision& revision) {
  std::string text = absl::StrCat(DateText(revision.time()), "   ", EscapeText(revision.actor()));
  if (!revision.peer().empty()) absl::StrAppend(&text, " from ", EscapeText(revision.peer()));
  if (!revision.method().empty()) absl::StrAppend(&text, " by ", EscapeText(revision.method()));
  return text + "\n";
}

// `entries` are what was written while it was in force, newest first.
std::string OneText(const v1::Revision& revision, const std::vector<v1::Revision>& entries, const Style& style) {
  std::string text = absl::StrCat(style.Bold(absl::StrCat("revision ", revision.revision())), "   ", Origin(revision));
  if (!revision.message().empty()) absl::StrAppend(&text, "  ", EscapeText(revision.message()), "\n");
  absl::StrAppend(&text, ChangesText(revision.changes(), style));
  if (revision.changes().empty()) absl::StrAppend(&text, "nothing differs from revision ", revision.parent(), "\n");
  if (!entries.empty()) absl::StrAppend(&text, "\n", style.Bold("while it was in force"), "\n");
  for (const v1::Revision& entry : entries) {
    absl::StrAppend(&text, Origin(entry));
    for (const std::string& effect : entry.effects()) absl::StrAppend(&text, "  ", EscapeText(effect), "\n");
    if (!entry.refusal().empty()) absl::StrAppend(&text, "  refused: ", EscapeText(entry.refusal()), Times(entry), "\n");
  }
  return text;
}

v1::HistoryRequest::Show ShowOf(const HistoryFlags& flags) {
  if (flags.configuration) return v1::HistoryRequest::CONFIGURATION;
  if (flags.refused) return v1::HistoryRequest::REFUSALS;
  return flags.all ? v1::HistoryRequest::EVERYTHING : v1::HistoryRequest::WRITES;
}

Output OutputOf(const HistoryFlags& flags) { return flags.json ? Output::kJson : flags.output; }

// For programs: one entry.
int Print(Context& context, const v1::Revision& entry, Output output) {
  if (output == Output::kJson) return PrintJson(context, entry);
  context.out() << "---\n" << client::MessageYaml(entry);
  return kOk;
}

int ShowOne(Context& context, client::Client& client, const HistoryFlags& flags) {
  client::Pages<v1::Revision> pages = client.History(1000, ShowOf(flags));
  std::vector<v1::Revision> entries;
  while (true) {
    absl::StatusOr<std::optional<v1::Revision>> next = pages.Next();
    if (!next.ok()) return Fail(context, next.status());
    if (!next->has_value() || (*next)->revision() < flags.revision) break;
    v1::Revision& revision = **next;
    if (revision.revision() != flags.revision) continue;
    if (revision.entry() != 0) {
      entries.push_back(std::move(revision));
      continue;
    }
    if (OutputOf(flags) == Output::kTable) {
      context.out() << OneText(revision, entries, Style(context.color));
      return kOk;
    }
    for (const v1::Revision& entry : entries) {
      if (int code = Print(context, entry, OutputOf(flags)); code != kOk) return code;
    }
    return Print(context, revision, OutputOf(flags));
  }
  return Fail(context, absl::NotFoundError(absl::StrCat("there is no revision ", flags.revision, "; `history` lists them")));
}

}  // namespace

int ShowHistory(Context& context, const HistoryFlags& flags) {
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  if (flags.revision != 0) return ShowOne(context, **client, flags);
  client::Pages<v1::Revision> pages = (*client)->History(std::min(flags.count, 1000), ShowOf(flags));
  std::vector<std::vector<std::string>> rows;
  const Output output = OutputOf(flags);
  for (int i = 0; i < flags.count; ++i) {
    absl::StatusOr<std::optional<v1::Revision>> next = pages.Next();
    if (!next.ok()) return Fail(context, next.status());
    if (!next->has_value()) break;
    const v1::Revision& revision = **next;
    if (output != Output::kTable) {
      if (int code = Print(context, revision, output); code != kOk) return code;
      continue;
    }
    rows.push_back({absl::StrCat(revision.entry() == 0 ? "" : "at ", revision.revision()), DateText(revision.time()),
                    EscapeText(revision.actor()), EscapeText(revision.message()), WhatChanged(revision)});
  }
  if (output == Output::kTable) PrintTable({"REVISION", "TIME", "WHO", "MESSAGE", "WHAT"}, rows, Style(context.color), context.out());
  return kOk;
}

}  // namespace gatehouse::cli
