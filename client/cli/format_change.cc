#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {

std::string ChangeText(const v1::Change& change, size_t id_width, const Style& style) {
  std::string id = client::IdText(change.id().kind(), change.id().name());
  std::string sign;
  std::string word;
  switch (change.action()) {
    case v1::Change::ADDED:
      sign = style.Green("+");
      word = "added";
      break;
    case v1::Change::REMOVED:
      sign = style.Red("-");
      word = "removed";
      break;
    default:
      sign = style.Yellow("~");
      word = "changed";
      break;
  }
  std::string text = absl::StrCat(sign, " ", Padded(id, id_width), "   ");
  if (change.details().empty()) return absl::StrCat(text, word, "\n");
  std::string lines;
  for (const std::string& detail : change.details()) {
    absl::StrAppend(&lines, lines.empty() ? text : std::string(id_width + 5, ' '), EscapeText(detail), "\n");
  }
  return lines;
}

std::string ChangesText(const google::protobuf::RepeatedPtrField<v1::Change>& changes, const Style& style) {
  size_t width = 0;
  for (const v1::Change& change : changes) {
    width = std::max(width, Width(client::IdText(change.id().kind(), change.id().name())));
  }
  width = std::min<size_t>(width, 40);
  std::string text;
  for (const v1::Change& change : changes) text += ChangeText(change, width, style);
  return text;
}

std::string DateText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()), absl::LocalTimeZone());
}

std::string WarningText(const v1::Violation& warning, const Style& style) {
  return absl::StrCat(style.Yellow("warning:"), " ", PathText(warning.path()), warning.path().empty() ? "" : ": ",
                      EscapeText(warning.message()), "\n");
}

std::string ForceText(uint64_t revision, bool waited, const v1::ForceStatus& force) {
  if (!waited) return absl::StrCat("revision ", revision, " stored; not waited for\n");
  if (force.gateways() == 0) return absl::StrCat("revision ", revision, " stored; no gateway is connected\n");
  std::string text = absl::StrCat("revision ", revision, " in force on ", force.in_force(), " of ", force.gateways(),
                                  force.gateways() == 1 ? " gateway" : " gateways");
  if (force.in_force() == force.gateways()) {
    if (force.micros() < 1000) {
      absl::StrAppend(&text, " after ", force.micros(), " µs");
    } else {
      absl::StrAppend(&text, " after ", force.micros() / 1000, " ms");
    }
  }
  text += "\n";
  for (const std::string& gateway : force.lagging()) absl::StrAppend(&text, "  ", EscapeText(gateway), "\n");
  return text;
}

}  // namespace gatehouse::cli
