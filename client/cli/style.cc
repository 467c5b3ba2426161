#include "client/cli/style.h"

#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {

std::string Style::Colored(const char* code, absl::string_view text) const {
  if (!color_) return std::string(text);
  return absl::StrCat("\033[", code, "m", text, "\033[0m");
}

size_t Width(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string Padded(absl::string_view text, size_t width) {
  size_t have = Width(text);
  return absl::StrCat(text, std::string(have < width ? width - have : 0, ' '));
}

std::string PathText(absl::string_view path) { return EscapeText(path); }

void PrintTable(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                const Style& style, std::ostream& out) {
  std::vector<size_t> widths;
  for (const std::string& cell : header) widths.push_back(Width(cell));
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  auto line = [&widths](const std::vector<std::string>& row) {
    std::string text;
    for (size_t i = 0; i < row.size(); ++i) {
      bool last = i + 1 == row.size();
      text += last ? row[i] : Padded(row[i], widths[i] + 2);
    }
    return text;
  };
  out << style.Bold(line(header)) << "\n";
  for (const auto& row : rows) out << line(row) << "\n";
}

}  // namespace gatehouse::cli
