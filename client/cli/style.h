// Style is colour, where somebody sees it, and Table is columns. Text from outside goes through EscapeText first:
// neither of these does that.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace gatehouse::cli {

class Style {
 public:
  explicit Style(bool color) : color_(color) {}
  std::string Red(absl::string_view text) const { return Colored("31", text); }
  std::string Green(absl::string_view text) const { return Colored("32", text); }
  std::string Yellow(absl::string_view text) const { return Colored("33", text); }
  std::string Dim(absl::string_view text) const { return Colored("2", text); }
  std::string Bold(absl::string_view text) const { return Colored("1", text); }

 private:
  std::string Colored(const char* code, absl::string_view text) const;
  bool color_;
};

// Width is the number of code points: near enough to columns for names and numbers.
size_t Width(absl::string_view text);
// Padded appends spaces up to `width`.
std::string Padded(absl::string_view text, size_t width);
// PathText escapes a violation's path: control characters only, so that quotes stay readable.
std::string PathText(absl::string_view path);

// PrintTable prints rows below a header, columns two spaces apart.
void PrintTable(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                const Style& style, std::ostream& out);

}  // namespace gatehouse::cli
